"""Rotate the keys of the keyring: a step of the file at a time, and what the older keys made written anew."""
