"""What happened on chain, seen by view key: one pass over the blocks for all addresses."""
