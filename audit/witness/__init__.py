"""Let others remember the log's head, so that no one party can change the past unseen."""
