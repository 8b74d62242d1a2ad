"""Faces over time and on disk: tracks, smoothing, face sets, ranking."""
