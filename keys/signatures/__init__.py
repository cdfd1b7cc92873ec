"""Read and check the signature of a request: one profile of RFC 9421 and no other. Plain Python."""
