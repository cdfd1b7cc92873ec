"""Remember which signatures were accepted, so that none is accepted twice; where that cannot be known, refuse."""
