"""The recovery store of the alerts flow under ALPR_HOME: one for each log, for one process."""

import fcntl
import shutil
from pathlib import Path
from typing import IO

from alpr.errors import AlprError, Busy
from alpr.settings import Settings

SNAPSHOT_S = 2
"""How far the flow goes back after a restart. What it says again has the same ids."""


def open_store(settings: Settings, log_uuid: str) -> Path:
    """The store, made if there is none. Raises AlprError."""
    store = _base(settings, log_uuid)
    if store.is_dir():
        return store
    from dataflows.layout import make_store

    fresh = store.with_name(store.name + ".fresh")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    try:
        make_store(fresh)
    except RuntimeError as error:  # Bytewax's own
        raise AlprError(f"{store} cannot be made: {error}; mend it") from error
    return fresh.rename(store)


def hold(settings: Settings, log_uuid: str) -> IO[bytes]:
    """Claim the store until the file is closed or this process is gone. Raises Busy."""
    base = _base(settings, log_uuid)
    base.parent.mkdir(parents=True, exist_ok=True)
    file = base.with_name(base.name + ".lock").open("ab")
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):  # POSIX lets it be either
        file.close()
        raise Busy(
            "another process makes the alerts of this log; stop it: there is one for all partitions"
        ) from None
    return file


def _base(settings: Settings, log_uuid: str) -> Path:
    return settings.home / "recovery" / f"alerts-{log_uuid}"
