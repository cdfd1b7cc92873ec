"""Decide about a presented key."""
