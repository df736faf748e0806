"""What can go wrong on the command line, and the exit code it leaves.

- AlprError: a failure (exit code 1); its text is "cause; cure"
  - ConfigError: a setting, a flag or a file of settings cannot be used (exit code 2)
  - Busy: a port or a folder is in use by another process

Errors of other rooms pass as they are; one with an ``exit_code`` of its own leaves that.
"""


class AlprError(Exception):
    """A command failed; the text names the input, the cause and the cure."""

    exit_code = 1


class ConfigError(AlprError):
    """A setting, a flag or a configuration file cannot be used; nothing was started."""

    exit_code = 2


class Busy(AlprError):
    """Another process holds what this one needs."""
