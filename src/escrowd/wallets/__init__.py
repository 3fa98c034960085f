"""Who holds which wallet open: wallet processes, the pool of them, and the sessions over it."""
