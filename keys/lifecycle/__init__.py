"""Change the state of keys and versions; the one writer of state is here."""
