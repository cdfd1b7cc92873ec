"""Wrap data keys under key-encrypting keys, wherever these live."""
