"""Hold lines to programs that verify in their own process: a server of its own, `python -m portal.verify.feed`."""
