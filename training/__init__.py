"""Synthetic plates and scenes with known truth."""
