"""Decide who may do what, by pure functions over facts."""
