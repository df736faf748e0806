"""The append-only log and its schema registry."""
