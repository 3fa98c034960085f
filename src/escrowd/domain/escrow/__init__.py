"""One trade: its terms, its status, what may happen next, and what has to be done then."""
