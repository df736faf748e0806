"""The read models: their migrations, writers, queries and rebuild."""
