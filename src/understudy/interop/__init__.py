"""Both worlds open: files of other programs read into ours, and ours written for them."""
