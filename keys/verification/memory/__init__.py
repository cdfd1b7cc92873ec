"""Hold what verification asks of every version, as fresh as a lease says, and decide from it."""
