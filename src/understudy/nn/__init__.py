"""Pure network parts shared by models: blocks, attention, initialisation, discriminators."""
