"""Pictures on this machine: those still to be sent, and those that were, for a while."""

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

from images.store import NO_TAGS, ImageError, StoreAway, remove_tree, write_whole

# Pictures leave this much of a disk free, for the log of the reads: a day of a busy edge's reads.
RESERVE_BYTES = 256 * 1024 * 1024
_RESERVE_SHARE = 20  # of a small disk, at most the 20th part


class PictureCache:
    """A folder that is a queue and a cache at once, and may be shared by several processes.

    ``waiting/NAME`` is to be sent, with ``tags/NAME`` beside it where it has tags; ``kept/NAME``
    has been sent. A picture moves from one to the other by a rename, so it is always in one.
    """

    def __init__(self, folder: Path, reserve_bytes: int = RESERVE_BYTES) -> None:
        self._folder = folder
        self._waiting = folder / "waiting"
        self._tags = folder / "tags"
        self._kept = folder / "kept"
        self._reserve_bytes = reserve_bytes

    def add(self, name: str, jpeg: bytes, tags: Mapping[str, str] = NO_TAGS) -> None:
        """Put a picture into the queue, whole or not at all. Raises ImageError."""
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            if self._short():
                raise ImageError(
                    f"picture {name} is not kept: {self._folder} is on a disk that is nearly full, "
                    "and what is left is for the reads; make room there"
                )
            # First, so that who finds the picture finds its tags.
            if tags:
                write_whole(self._tags / name, json.dumps(dict(tags)).encode())
            write_whole(self._waiting / name, jpeg)
        except OSError as error:
            raise ImageError(f"picture {name} cannot be written: {error.strerror}") from error

    def read(self, name: str) -> bytes | None:
        """A picture that is here, sent or not; None if it is not. Raises StoreAway."""
        # In the order in which a picture moves, so that it is not missed.
        for folder in (self._waiting, self._kept):
            content = _content(folder / name)
            if content is not None:
                return content
        return None

    def waits(self, name: str) -> bool:
        """Whether a picture is still to be sent."""
        return (self._waiting / name).exists()

    def waiting(self) -> Iterator[str]:
        """Names of the pictures to be sent, those of the earliest days first."""
        for path in _files(self._waiting):
            yield path.relative_to(self._waiting).as_posix()

    def to_send(self, name: str) -> tuple[bytes, dict[str, str]] | None:
        """A waiting picture and its tags; None if it is gone. Raises StoreAway."""
        jpeg, tags = _content(self._waiting / name), _content(self._tags / name)
        if jpeg is None:
            return None
        try:
            return jpeg, json.loads(tags or b"{}")
        except ValueError:  # cut off by a loss of power: the picture matters more
            return jpeg, {}

    def sent(self, name: str) -> bool:
        """Move a picture from the queue to what is kept; False if it was deleted meanwhile.

        Raises OSError.
        """
        kept = self._kept / name
        kept.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.replace(self._waiting / name, kept)
        except FileNotFoundError:
            return kept.exists()  # another process has sent it, too
        (self._tags / name).unlink(missing_ok=True)
        return True

    def remove(self, name: str) -> None:
        """Forget a picture, sent or not. Raises OSError."""
        for folder in (self._waiting, self._kept, self._tags):
            (folder / name).unlink(missing_ok=True)

    def remove_folder(self, name: str) -> None:
        """Forget all pictures below a name, sent or not. Raises ImageError."""
        for folder in (self._waiting, self._kept, self._tags):
            remove_tree(folder / name)

    def clean(self, before: float) -> int:
        """Drop what was sent and is older than a time in seconds UTC; how many. Raises OSError.

        Also parts of files and empty folders that a stop has left behind.
        """
        dropped = 0
        for path in _files(self._kept):
            dropped += _drop_if_older(path, before)
        for folder in (self._waiting, self._tags, self._kept):
            for path in _files(folder, parts=True):
                _drop_if_older(path, before)
            for inner, _, _ in os.walk(folder, topdown=False):
                _drop_if_empty(Path(inner), before)
        return dropped

    def make_room(self) -> int:
        """While the disk is nearly full, drop what was sent, the earliest first; how many."""
        dropped = 0
        if self._folder.exists() and self._short():
            for path in _files(self._kept):
                path.unlink(missing_ok=True)
                dropped += 1
                if not self._short():
                    break
        return dropped

    def _short(self) -> bool:
        disk = shutil.disk_usage(self._folder)
        return disk.free < min(self._reserve_bytes, disk.total // _RESERVE_SHARE)


def _content(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return None
    except OSError as error:
        raise StoreAway(f"{path} cannot be read: {error.strerror}") from error


def _files(folder: Path, *, parts: bool = False) -> Iterator[Path]:
    """Whole files below a folder in the order of their names, or the unfinished ones."""
    for inner, folders, files in os.walk(folder):
        folders.sort()
        for name in sorted(files):
            if name.endswith(".part") is parts:
                yield Path(inner, name)


def _drop_if_older(path: Path, before: float) -> bool:
    try:
        if path.stat().st_mtime >= before:
            return False
        path.unlink()
    except FileNotFoundError:  # another process was quicker
        return False
    return True


def _drop_if_empty(folder: Path, before: float) -> None:
    try:
        if folder.stat().st_mtime < before:
            folder.rmdir()
    except OSError:
        return  # not empty, or gone: both are as they should be
