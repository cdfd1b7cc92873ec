"""Keep the log as long as it must be kept, and let go of personal data that must go."""
