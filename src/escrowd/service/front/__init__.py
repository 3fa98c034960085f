"""What callers may ask for: who they are, what they may do, and that each thing is done once."""
