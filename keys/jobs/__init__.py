"""Run what is due once: slots that have one run each, leases on due rows, and what an administrator sees of both."""
