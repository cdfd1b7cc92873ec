"""Let services ask whether a key that was presented to them is valid: no sessions, no templates, a read-only role."""
