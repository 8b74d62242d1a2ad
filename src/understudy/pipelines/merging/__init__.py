"""Rendering: segments that cannot be lost, settings that change over time, workers, previews."""
