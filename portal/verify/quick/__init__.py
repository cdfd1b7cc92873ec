"""Answer ordinary questions at the speed of the server; whatever is not ordinary goes the careful way."""
