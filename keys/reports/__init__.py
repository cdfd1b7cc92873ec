"""Answer those who check: what the log holds, and what one key lived through. Reading is on record."""
