"""Name one module for each command."""
