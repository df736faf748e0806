"""Cameras and where they stand, strictly read from config/cameras.yaml."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import yaml

from edge.geometry import Region
from schemas.records import Node

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.\-]{0,99}")
_COUNTRY = re.compile(r"[A-Z]{2}(-[A-Z0-9]{1,3})?")
_SECRET = re.compile(r"(?<=://)[^/@\s]*@")
_DIRECTIONS = ("approaching", "receding", "left", "right")


class ConfigError(Exception):
    """A configuration cannot be used; the message names file, place, cause and cure."""


@dataclass(frozen=True, slots=True)
class Camera:
    """One camera or file.

    ``source`` is an rtsp:// or http(s):// address, the path of a video, picture or folder of
    pictures, or the number of a USB camera. ``group`` joins cameras that share a gate.
    ``country`` is empty for any, else ISO codes (VN, US-FL). ``direction`` is what is told of a
    plate whose own motion does not tell. ``roi`` is the part of the picture to read, in pixels.
    ``fps`` bounds the frames read a second; ``loop`` begins a file again at its end. Sightings and
    pictures are kept for ``retention_days``, None for as long as all are.
    """

    id: str
    source: str
    name: str = ""
    enabled: bool = True
    group: str | None = None
    site: str = "default"
    zone: str = ""
    lane: str = ""
    latitude: float | None = None
    longitude: float | None = None
    timezone: str = "UTC"
    country: tuple[str, ...] = ()
    direction: str | None = None
    roi: Region | None = None
    fps: float | None = None
    loop: bool = False
    retention_days: int | None = None

    @property
    def key(self) -> str:
        """What its records are keyed and partitioned by: its group, or else its id."""
        return self.group or self.id

    @property
    def region(self) -> str | None:
        """The country its settings tell, None if they allow several."""
        return self.country[0] if len(self.country) == 1 else None

    @property
    def label(self) -> str:
        """Id and source for messages, without credentials."""
        return f"{self.id} ({without_secrets(self.source)})"

    def node(self, host: str) -> Node:
        """Where a read of this camera comes from."""
        return {
            "site": self.site,
            "host": host,
            "zone": self.zone,
            "lane": self.lane,
            "latitude": self.latitude,
            "longitude": self.longitude,
            "timezone": self.timezone,
        }


def without_secrets(text: str) -> str:
    """A text with user and password taken out of every address in it."""
    return _SECRET.sub("", text)


def load_cameras(path: Path) -> tuple[Camera, ...]:
    """The cameras of a file whose ``cameras:`` is a list; raises ConfigError.

    Paths of files are relative to the file's folder.
    """
    document = read_yaml(path)
    _only(document, {"cameras"}, str(path))
    entries = document.get("cameras")
    if not isinstance(entries, list):
        raise ConfigError(f"{path}: `cameras` must be a list of cameras, each with id and source")
    cameras = tuple(
        _camera(entry, f"{path}, camera {index}", path.parent)
        for index, entry in enumerate(entries, start=1)
    )
    seen: set[str] = set()
    for camera in cameras:
        if camera.id in seen:
            raise ConfigError(f"{path}: two cameras have the id {camera.id!r}; give each its own")
        seen.add(camera.id)
    return cameras


def read_yaml(path: Path) -> dict[str, Any]:
    """A YAML file's mapping; an empty file is an empty one. Raises ConfigError."""
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: is no YAML: {error}") from error
    if document is None:
        return {}
    if not isinstance(document, dict):
        raise ConfigError(f"{path}: must hold keys and values, not {_kind(document)}")
    return document


def check_sections(path: Path, known: set[str]) -> None:
    """ConfigError if a YAML file has other sections than those known."""
    _only(read_yaml(path), known, str(path))


def load_settings(path: Path, kind: type, section: str) -> Any:
    """A frozen dataclass of numbers and flags from one section of a YAML file; ConfigError."""
    values = read_yaml(path).get(section) or {}
    place = f"{path}, {section}"
    if not isinstance(values, dict):
        raise ConfigError(f"{place}: must hold keys and values, not {_kind(values)}")
    known = {field.name: field for field in fields(kind)}
    _only(values, set(known), place)
    result: dict[str, Any] = {}
    for key, value in values.items():
        expected = type(known[key].default)
        fits = isinstance(value, expected) and isinstance(value, bool) == (expected is bool)
        if not fits and not (expected is float and type(value) is int):
            raise ConfigError(f"{place}: `{key}` must be a {expected.__name__}, not {value!r}")
        if not isinstance(value, bool) and value < 0:
            raise ConfigError(f"{place}: `{key}` is {value!r}; it cannot be below 0")
        result[key] = expected(value)
    return kind(**result)


def _camera(entry: Any, place: str, folder: Path) -> Camera:
    if not isinstance(entry, dict):
        raise ConfigError(f"{place}: must hold keys and values, not {_kind(entry)}")
    if isinstance(entry.get("id"), str):
        place = f"{place} ({entry['id']})"
    _only(entry, {field.name for field in fields(Camera)}, place)
    for key in ("id", "source"):
        if entry.get(key) in (None, ""):
            raise ConfigError(f"{place}: `{key}` is missing; every camera needs one")
    identity = _text(entry, "id", place)
    if identity is None or not _ID.fullmatch(identity):
        raise ConfigError(f"{place}: id {identity!r} may hold letters, digits, '_', '.' and '-'")
    timezone = _text(entry, "timezone", place) or "UTC"
    try:
        ZoneInfo(timezone)
    except (KeyError, ValueError, OSError):
        raise ConfigError(
            f"{place}: timezone {timezone!r} is unknown; use an IANA name such as Asia/Ho_Chi_Minh"
        ) from None
    direction = _text(entry, "direction", place)
    if direction not in (None, *_DIRECTIONS):
        raise ConfigError(f"{place}: direction {direction!r} is none of {', '.join(_DIRECTIONS)}")
    return Camera(
        id=identity,
        source=_source(entry["source"], place, folder),
        name=_text(entry, "name", place) or "",
        enabled=_flag(entry, "enabled", place, True),
        group=_text(entry, "group", place),
        site=_text(entry, "site", place) or "default",
        zone=_text(entry, "zone", place) or "",
        lane=_text(entry, "lane", place) or "",
        latitude=_number(entry, "latitude", place, -90, 90),
        longitude=_number(entry, "longitude", place, -180, 180),
        timezone=timezone,
        country=countries(entry.get("country"), place),
        direction=direction,
        roi=_roi(entry.get("roi"), place),
        fps=_number(entry, "fps", place, 0.01, 1000),
        loop=_flag(entry, "loop", place, False),
        retention_days=_days(entry, "retention_days", place),
    )


def _days(entry: dict[str, Any], key: str, place: str) -> int | None:
    value = entry.get(key)
    if value is None or (type(value) is int and 1 <= value <= 36_500):
        return value
    raise ConfigError(f"{place}: `{key}` is {value!r}; give whole days, from 1")


def countries(value: Any, place: str) -> tuple[str, ...]:
    """ISO 3166 codes from 'auto', a code, or a list of codes; raises ConfigError."""
    if value in (None, "auto", "AUTO"):
        return ()
    codes = value if isinstance(value, list) else [value]
    for code in codes:
        if not isinstance(code, str) or not _COUNTRY.fullmatch(code.upper()):
            hint = " (YAML reads NO as false: quote it)" if code is False else ""
            raise ConfigError(
                f"{place}: country {code!r} is no ISO 3166 code such as VN or US-FL, nor auto{hint}"
            )
    return tuple(code.upper() for code in codes)


def _source(value: Any, place: str, folder: Path) -> str:
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return str(value)
    if not isinstance(value, str):
        raise ConfigError(
            f"{place}: source {value!r} must be an address, a path, or a USB camera's number"
        )
    if "://" in value or value.isdigit():
        return value
    return str(folder / Path(value).expanduser())


def _roi(value: Any, place: str) -> Region | None:
    if value is None:
        return None
    whole = isinstance(value, list) and len(value) == 4
    if not whole or not all(type(number) is int and number >= 0 for number in value):
        raise ConfigError(f"{place}: roi must be [left, top, right, bottom] in pixels")
    left, top, right, bottom = value
    if left >= right or top >= bottom:
        raise ConfigError(
            f"{place}: roi {value} is empty; right and bottom lie beyond left and top"
        )
    return (left, top, right, bottom)


def _text(entry: Mapping[str, Any], key: str, place: str) -> str | None:
    value = entry.get(key)
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)  # lane: 3
    raise ConfigError(f"{place}: `{key}` must be a text, not {value!r}; put it into quotes")


def _flag(entry: Mapping[str, Any], key: str, place: str, default: bool) -> bool:
    value = entry.get(key, default)
    if not isinstance(value, bool):
        raise ConfigError(f"{place}: `{key}` must be true or false, not {value!r}")
    return value


def _number(
    entry: Mapping[str, Any], key: str, place: str, lowest: float, highest: float
) -> float | None:
    value = entry.get(key)
    if value is None:
        return None
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not lowest <= value <= highest:
        raise ConfigError(
            f"{place}: `{key}` must be a number from {lowest} to {highest}, not {value!r}"
        )
    return float(value)


def _only(entry: Mapping[Any, Any], known: set[str], place: str) -> None:
    for key in entry:
        if key not in known:
            raise ConfigError(
                f"{place}: unknown key {key!r}; remove or correct it. "
                f"Known are {', '.join(sorted(known))}"
            )


def _kind(value: Any) -> str:
    return {list: "a list", str: "a text"}.get(type(value), f"a {type(value).__name__}")
