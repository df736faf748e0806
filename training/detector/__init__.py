"""A plate detector of our own: its network, what it learns from, how it is trained and measured.

Only `net`, `goal`, `train` and `export` need PyTorch (the extra `training`).
"""
