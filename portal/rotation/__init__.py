"""Let a client replace its own secret with the one it holds: no sessions, no templates; a key, not a person."""
