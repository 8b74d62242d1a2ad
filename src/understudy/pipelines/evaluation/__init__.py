"""Measuring swapped videos: against exact truth, by identity and expression; alone or compared."""
