"""A plate reader of our own: its network, what it learns from, how it is trained and measured."""
