"""Synthetic people drawn by the program, with exact ground truth."""
