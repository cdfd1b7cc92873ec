"""Count what is presented, and by whom, and hold keys to their limits over all verifiers."""
