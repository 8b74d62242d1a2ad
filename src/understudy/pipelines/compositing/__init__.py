"""Putting swapped faces into frames: colour, masks, detail, blend, averaged along each track."""
