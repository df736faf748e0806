"""Who gives a command, as records of the log name people."""

import getpass
import os


def actor() -> str:
    """``cli:`` and the name of the operating system's user."""
    try:
        name = getpass.getuser()
    except (KeyError, OSError):  # a container's user without an entry in /etc/passwd
        name = f"uid-{os.getuid()}"
    return f"cli:{name}"
