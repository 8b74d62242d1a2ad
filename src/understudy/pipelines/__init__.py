"""Where parts meet: generators of events, never printing."""
