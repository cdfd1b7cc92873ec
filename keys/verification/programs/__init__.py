"""Let programs outside hold the keys of their service: what they may hold, signed, and what became of it."""
