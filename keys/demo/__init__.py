"""Fill an empty installation with a made-up company, so that every page has something to show."""
