"""Measure what a signed request costs: to check it, and to remember that it was there."""
