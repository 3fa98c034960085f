"""Money out: plan, sync of the signers, proposal, validation, signature, submission, and what follows."""
