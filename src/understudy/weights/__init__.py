"""Network weight files: declared, fetched once with a checked hash, cached, or imported from a user's own file."""
