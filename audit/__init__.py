"""Remember who did what, in which order, so that others can prove it."""
