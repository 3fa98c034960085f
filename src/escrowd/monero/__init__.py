"""How to talk to Monero: monerod and monero-wallet-rpc, typed, with errors that say what they mean."""
