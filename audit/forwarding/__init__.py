"""Send the sealed log on to a receiver outside, in the order of its leaves, each at least once."""
