"""Measure how long it takes to stop many keys at once."""
