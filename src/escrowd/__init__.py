"""escrowd: self-hosted 2-of-3 multisig escrow for Monero."""

__version__ = "0.1.0"
