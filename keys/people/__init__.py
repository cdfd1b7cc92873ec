"""Know people: who they are, where they belong, how they prove it."""
