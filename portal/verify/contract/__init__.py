"""Describe the data plane in OpenAPI 3.1, out of the constants that it reads by."""
