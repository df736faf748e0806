"""Evidence pictures by name, behind one small interface."""

import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Protocol

PREFIX = "images/"
NO_TAGS: Mapping[str, str] = {}

_PART_BYTES = 255  # of one part of a name: what file systems and MinIO take
_NAME_BYTES = 1024  # of a whole name: what S3 takes


class ImageError(Exception):
    """A picture cannot be kept or found; the message names it and the cause.

    - NoPicture: there is none at this address
    - StoreAway: the store cannot be asked now, or refuses us
      - StoreBusy: it does not answer, or not yet
    """


class NoPicture(ImageError):
    """There is no picture at this address: never kept, its time is over, or it is no address."""


class StoreAway(ImageError):
    """The store cannot be asked at the moment or refuses us; says nothing about the picture."""


class StoreBusy(StoreAway):
    """The store does not answer, or says that it cannot yet: asked again soon it may."""


class ImageSink(Protocol):
    """Takes pictures, as the edge makes them."""

    def put(self, name: str, jpeg: bytes, tags: Mapping[str, str] = NO_TAGS) -> str:
        """Keep a picture and return its address, stable for ever; quick, never waits for a network.

        ``name`` is like ``2026-11-21/CAM-001/t-1a2b-7-120-plate.jpg``; ``tags`` describe the
        picture to who looks through the store, which may have no place for them. Raises
        ImageError.
        """
        ...


class ImageStore(ImageSink, Protocol):
    """Keeps JPEG bytes under a name. Every store gives the same picture the same address."""

    @property
    def origin(self) -> str:
        """Scheme and host that ``link`` leads to, such as ``https://s3.example``; '' for none."""
        ...

    def get(self, url: str) -> bytes:
        """The picture at an address that ``put`` returned. Raises NoPicture, StoreAway."""
        ...

    def link(self, url: str) -> str | None:
        """Where a browser may fetch the picture itself for some minutes; None: only by ``get``.

        Does not look whether the picture is there. Raises NoPicture for what is no address.
        """
        ...

    def delete(self, url: str) -> None:
        """Remove a picture; one that is not there is no error. Raises ImageError."""
        ...

    def delete_folder(self, url: str) -> int:
        """Remove all pictures below an address such as ``images/2026-11-21/CAM-001``; how many.

        Raises ImageError, NoPicture for what is no address.
        """
        ...


def name_of(url: str) -> str:
    """The name in an address ``images/NAME``; one that leads nowhere else. Raises NoPicture."""
    path = PurePosixPath(url.removeprefix(PREFIX))
    name = str(path)
    bad = (
        not url.startswith(PREFIX)
        or not path.parts
        or path.is_absolute()
        or ".." in path.parts
        or not name.isprintable()  # control characters, halves of surrogate pairs
        or "\\" in name
        or len(name.encode(errors="replace")) > _NAME_BYTES
        or any(len(part.encode(errors="replace")) > _PART_BYTES for part in path.parts)
    )
    if bad:
        raise NoPicture(f"{url[:200]!r} is not the address of a picture")
    return name


def write_whole(path: Path, content: bytes) -> None:
    """Write a file whole or not at all, so that no reader sees half of one. Raises OSError."""
    try:
        handle, part = _part_of(path)
    except FileNotFoundError:  # the folder was cleaned up in between
        handle, part = _part_of(path)
    try:
        with os.fdopen(handle, "wb") as out:
            out.write(content)
        os.replace(part, path)
    except BaseException:
        Path(part).unlink(missing_ok=True)
        raise


def remove_tree(folder: Path) -> int:
    """Remove a folder with all that is in it; how many files there were. Raises ImageError."""
    count = sum(1 for path in folder.rglob("*") if path.is_file())
    try:
        shutil.rmtree(folder)
    except FileNotFoundError:
        return 0
    except OSError as error:
        raise ImageError(f"{folder} cannot be removed: {error.strerror}") from error
    return count


def _part_of(path: Path) -> tuple[int, str]:
    path.parent.mkdir(parents=True, exist_ok=True)
    return tempfile.mkstemp(dir=path.parent, suffix=".part")


class FolderStore:
    """Pictures in a folder, which keeps no tags; an address is ``images/NAME``."""

    origin = ""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def put(self, name: str, jpeg: bytes, tags: Mapping[str, str] = NO_TAGS) -> str:
        """Write the picture whole or not at all."""
        path = self._path(PREFIX + name)
        try:
            write_whole(path, jpeg)
        except OSError as error:
            raise ImageError(f"picture {name} cannot be written: {error.strerror}") from error
        return PREFIX + name

    def get(self, url: str) -> bytes:
        """The bytes at ``images/NAME``."""
        try:
            return self._path(url).read_bytes()
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
            raise NoPicture(f"there is no picture {url}") from error
        except OSError as error:
            raise StoreAway(f"picture {url} cannot be read: {error.strerror}") from error

    def link(self, url: str) -> None:
        """None: a folder has no server of its own."""
        self._path(url)

    def delete(self, url: str) -> None:
        """Remove a picture if it is there."""
        try:
            self._path(url).unlink(missing_ok=True)
        except OSError as error:
            raise ImageError(f"picture {url} cannot be removed: {error.strerror}") from error

    def delete_folder(self, url: str) -> int:
        """Remove a folder of pictures if it is there."""
        return remove_tree(self._path(url))

    def _path(self, url: str) -> Path:
        return self._folder / name_of(url)
