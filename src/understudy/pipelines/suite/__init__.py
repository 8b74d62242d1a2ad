"""The fixed suite of performers: every method with the same budget, one table."""
