"""The whole service on a private chain, for integrators to try things: real wallets, and money worth nothing."""
