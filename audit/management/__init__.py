"""Offer the audit floor to operators at the shell."""
