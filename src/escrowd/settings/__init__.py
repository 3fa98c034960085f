"""Settings: from a file, the environment and flags, in this order, the later ones going before."""
