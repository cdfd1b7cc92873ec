"""The business: requests, approvals, versions, rotation, leaks and incidents."""
