"""Evidence pictures by name, behind one small interface."""

import os
import tempfile
from pathlib import Path, PurePosixPath
from typing import Protocol


class ImageError(Exception):
    """A picture cannot be kept or found; the message names it and the cause."""


class ImageStore(Protocol):
    """Keeps JPEG bytes under a name such as ``2026-11-21/CAM-001/t-1a2b-7-120-plate.jpg``."""

    def put(self, name: str, jpeg: bytes) -> str:
        """Keep a picture and return its address, stable for ever. Raises ImageError."""
        ...

    def get(self, url: str) -> bytes:
        """The picture at an address that ``put`` returned. Raises ImageError."""
        ...

    def delete(self, url: str) -> None:
        """Remove a picture; one that is not there is no error."""
        ...


class FolderStore:
    """Pictures in a folder; an address is ``images/NAME``, relative to it."""

    _PREFIX = "images/"

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def put(self, name: str, jpeg: bytes) -> str:
        """Write the picture whole or not at all, so that no reader sees half of one."""
        path = self._path(self._PREFIX + name)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            handle, part = tempfile.mkstemp(dir=path.parent, suffix=".part")
            try:
                with os.fdopen(handle, "wb") as out:
                    out.write(jpeg)
                os.replace(part, path)
            except BaseException:
                Path(part).unlink(missing_ok=True)
                raise
        except OSError as error:
            raise ImageError(f"picture {name} cannot be written: {error.strerror}") from error
        return self._PREFIX + name

    def get(self, url: str) -> bytes:
        """The bytes at ``images/NAME``."""
        try:
            return self._path(url).read_bytes()
        except OSError as error:
            raise ImageError(f"picture {url} cannot be read: {error.strerror}") from error

    def delete(self, url: str) -> None:
        """Remove a picture if it is there."""
        try:
            self._path(url).unlink(missing_ok=True)
        except OSError as error:
            raise ImageError(f"picture {url} cannot be removed: {error.strerror}") from error

    def _path(self, url: str) -> Path:
        name = PurePosixPath(url.removeprefix(self._PREFIX))
        parts = name.parts
        bad = name.is_absolute() or ".." in parts or any("\\" in p or "\0" in p for p in parts)
        if not url.startswith(self._PREFIX) or not parts or bad:
            raise ImageError(f"{url!r} is not the address of a picture of this store")
        return self._folder.joinpath(*parts)
