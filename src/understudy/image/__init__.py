"""Pure picture functions: colour, geometry, warping, filters, gradient-domain solves, drawing.

No files, no registry.
"""
