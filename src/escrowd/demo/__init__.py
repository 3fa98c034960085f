"""Whole escrows, told by doing them: on this machine alone, with real wallets on a private chain."""
