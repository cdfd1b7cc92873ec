"""Carry a request from the wish to the decision."""
