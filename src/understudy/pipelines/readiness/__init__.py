"""Is a source ready for a shot: what the shot needs, what the face set has, and a page about it."""
