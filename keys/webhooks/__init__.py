"""Tell endpoints outside of sealed events: signed, at least once, and never into our own network."""
