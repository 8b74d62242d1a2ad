"""One loop for everything that learns: batches, augmentation, optimisers, checkpoints, run folders."""
