"""What ends as a run folder: swappers, pretraining, mask networks, enhancers, feature networks."""
