"""The `keystead` command line."""
