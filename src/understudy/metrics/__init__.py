"""Figures of quality: pure functions, each with its source, unit and range."""
