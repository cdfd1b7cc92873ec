"""Give administrators their places: every list, page and act of Django's admin over this floor's operations."""

# The order of the index.
from keys.admin import requests  # isort: skip
from keys.admin import keys, transfers  # isort: skip
from keys.admin import people, joining, teams  # isort: skip
from keys.admin import services, catalogue, policies  # isort: skip

__all__ = ["catalogue", "joining", "keys", "people", "policies", "requests", "services", "teams", "transfers"]
