"""The doors at which a command line is signed in and out by a person in a browser: OAuth 2.0, as far as that needs it."""
