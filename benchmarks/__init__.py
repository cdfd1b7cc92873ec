"""Measure what is promised: one benchmark a module or folder, run by `make bench NAME=...`; docs/performance.md explains."""
