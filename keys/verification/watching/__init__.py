"""Look after what is promised: rows are as written, changes are told, a stop is everywhere."""
