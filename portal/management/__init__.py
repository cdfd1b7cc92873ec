"""Hold the commands of the portal."""
