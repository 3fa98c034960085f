"""The changes, oldest first by the number in their names."""
