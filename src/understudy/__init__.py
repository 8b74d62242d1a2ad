"""Face replacement for film and video, and for the research that detects it."""

__version__ = "0.1.0"
