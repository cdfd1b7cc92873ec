"""Keep every secret, digest, seal and signature of Keystead in one plain-Python room."""
