"""Say how the signing keys of the log lie in their files: plain, or wrapped by a key that lies elsewhere."""
