"""Be the server of a door: carry requests to it, keep it fresh in passing, and come back after every kill."""
