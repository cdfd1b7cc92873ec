"""Let people in: invitation, password, second factor, step-up, sessions, recovery."""
