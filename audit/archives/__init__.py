"""Hold the plugs of write-once storage for what leaves the database."""
