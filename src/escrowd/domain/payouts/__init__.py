"""Money that leaves an escrow: who gets what, to the piconero, and how far it is."""
