"""The HTTP API: routes, who may call them, and how they answer. What is allowed to an escrow is said by its state table."""
