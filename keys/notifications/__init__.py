"""Tell people what concerns them: who, in which words, and by which channel."""
