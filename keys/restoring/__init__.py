"""Bring the rows of a restored database up to what its recovered log says."""
