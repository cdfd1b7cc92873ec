"""Hold the operator commands of the keys floor."""
