"""A private Monero chain and what tests want around it: the regtest lab, ready 2-of-3 wallets, faults on purpose.

It ships with escrowd, so that integrators test against the same lab as escrowd itself. Nothing here is worth money:
every seed, key and password is public.
"""
