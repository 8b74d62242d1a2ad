"""Synthetic people drawn by the program itself, whose landmarks, pose, masks and correct swap are exact."""

TEST_SEEDS_FROM = 1_000_000
"""Performers with this seed or a higher one belong to the evaluation's test half: no trainer accepts them."""
