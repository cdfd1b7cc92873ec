"""Measure what the audit log costs and what it can do: one module a measure."""
