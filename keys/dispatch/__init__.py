"""Read the log after a cursor and run what reacts to it: the log is the outbox."""
