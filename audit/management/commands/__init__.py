"""One command for each module."""
