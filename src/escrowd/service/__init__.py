"""What may be asked of an escrow, and what is then done: commands, keying, payouts, deadlines."""
