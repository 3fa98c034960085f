"""The story of wallet sessions, told by doing it: on this machine alone, with real wallets on a private chain."""
