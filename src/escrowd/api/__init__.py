"""The HTTP API: what may be called and how it answers. What may be done to an escrow is said by its state table."""
