"""Video files and image sequences in and out, frames as decoded, sound packet by packet."""
