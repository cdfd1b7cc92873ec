"""Let events leave the log as files: the exact payloads, a table for people, and a manifest that ties them to the log."""
