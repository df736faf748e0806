"""Reads that other programs made: their payloads, translated into one form and checked."""
