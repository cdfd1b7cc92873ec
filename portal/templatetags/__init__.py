"""Template tags: the vocabulary that pages are written in."""
