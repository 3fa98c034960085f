"""A seeded world around the real service: chain, wallets, store, clock and faults are simulated, its code is not."""
