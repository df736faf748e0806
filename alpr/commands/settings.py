"""``alpr settings``: what is in effect, as a .env file, passwords masked."""

import argparse

from alpr.settings import Settings


def configure(parser: argparse.ArgumentParser) -> None:
    """No flags."""


def run(arguments: argparse.Namespace, settings: Settings) -> int:
    """Print a line a setting."""
    for name, value in settings.shown().items():
        print(f"{name}={value}")
    return 0
