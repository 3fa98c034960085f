"""The three keys of an escrow: made in rounds of stored messages, among wallets that are hosted and parties outside."""
