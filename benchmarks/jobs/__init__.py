"""Measure how fast due rows are worked off."""
