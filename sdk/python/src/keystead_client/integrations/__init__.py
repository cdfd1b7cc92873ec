"""Put a verifier in front of an application: one module a framework, and one that they share."""
