"""A YAML document as plain values that know their lines: bounded, without tags and aliases.

Values are those of YAML 1.2's core schema, in which ``on``, ``no`` and ``22:00`` are texts.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, cast

import yaml

MAX_CHARACTERS = 8 * 1024 * 1024
MAX_NODES = 1_000_000
MAX_DEPTH = 40

Path = tuple[str | int, ...]
"""Where a value stands: keys and indices from the top."""

_INT = re.compile(r"[-+]?[0-9]{1,18}")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff]")
_WORDS = {"null": None, "~": None, "": None, "true": True, "false": False}


class DocumentError(ValueError):
    """The text is no such document; ``line`` counts from 1, ``path`` is as far as it was read."""

    def __init__(self, line: int, path: Path, message: str) -> None:
        super().__init__(message)
        self.line = line
        self.path = path


@dataclass(frozen=True, slots=True)
class Document:
    """Plain values, the line of each path, and (line, path, message) of each key given twice."""

    value: Any
    lines: dict[Path, int]
    repeated: tuple[tuple[int, Path, str], ...]

    def line(self, path: Path) -> int:
        """The line of a path, or of the nearest above it that was written."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 1)


@dataclass(slots=True)
class _Open:
    """A mapping or sequence that is being read."""

    path: Path
    value: dict[str, Any] | list[Any]
    key: str | None = None
    keys: dict[str, int] = field(default_factory=dict[str, int])


def read(text: str | bytes) -> Document:
    """The one document of a YAML text. Raises DocumentError with the line of what is wrong."""
    text = _decoded(text)
    try:
        return _built(text)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        # What is missing at the end is missing in the last line.
        line = min(mark.line + 1, text.rstrip().count("\n") + 1) if mark else 1
        said = ", ".join(part for part in (error.context, error.problem) if part)
        raise DocumentError(line, (), f"this is no YAML: {said}{_cure(text, line)}") from error
    except yaml.YAMLError as error:
        position = int(getattr(error, "position", 0) or 0)
        line = text.count("\n", 0, position) + 1
        raise DocumentError(line, (), f"this is no YAML: {_said(error)}; take it out") from error


def _said(error: yaml.YAMLError) -> str:
    """An error without a mark, in one line: a character that no YAML holds, above all."""
    return str(error).splitlines()[0] if str(error) else type(error).__name__


def _decoded(text: str | bytes) -> str:
    if isinstance(text, bytes):
        if text[:2] in (b"\xff\xfe", b"\xfe\xff"):
            raise DocumentError(1, (), "the file is in UTF-16: save it as UTF-8")
        try:
            text = text.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            line = text.count(b"\n", 0, error.start) + 1
            raise DocumentError(line, (), "the file is not in UTF-8: save it as UTF-8") from error
    text = text.removeprefix("\ufeff")
    if len(text) > MAX_CHARACTERS:
        raise DocumentError(
            1,
            (),
            f"the file has {len(text):,} characters, {MAX_CHARACTERS:,} is the most: split it",
        )
    try:
        text.encode()
    except UnicodeEncodeError as error:
        line = text.count("\n", 0, error.start) + 1
        raise DocumentError(line, (), "half of a surrogate pair: save the file as UTF-8") from error
    return text


def _cure(text: str, line: int) -> str:
    lines = text.splitlines()
    if line <= len(lines) and "\t" in lines[line - 1]:
        return "; indent with spaces, not with tabs"
    return ""


def _built(text: str) -> Document:  # noqa: PLR0912, one a kind of event
    lines: dict[Path, int] = {(): 1}
    repeated: list[tuple[int, Path, str]] = []
    stack: list[_Open] = []
    top: Any = None
    documents = nodes = 0
    for event in _events(text):
        if isinstance(event, yaml.DocumentStartEvent):
            documents += 1
            if documents > 1:
                raise DocumentError(
                    _line(event),
                    (),
                    "a second document begins here: keep one in a file, without ---",
                )
            continue
        if isinstance(event, yaml.CollectionEndEvent):
            stack.pop()
            continue
        if not isinstance(event, yaml.NodeEvent):
            continue
        here = _path(stack)
        _plain(event, here)
        nodes += 1
        if nodes > MAX_NODES or len(stack) >= MAX_DEPTH:
            raise DocumentError(
                _line(event),
                here[:6],
                f"too large: at most {MAX_NODES:,} values, {MAX_DEPTH} deep; split the file",
            )
        holder = stack[-1] if stack else None
        if holder is not None and isinstance(holder.value, dict) and holder.key is None:
            if not isinstance(event, yaml.ScalarEvent):
                raise DocumentError(_line(event), here, "a key must be a word: put it in quotes")
            key = str(cast(Any, event).value)
            _printable(key, event)
            if key in holder.keys:
                said = f"stands here twice, first in line {holder.keys[key]}: keep one"
                repeated.append((_line(event), (*here, key), said))
            holder.keys[key] = lines[*here, key] = _line(event)
            holder.key = key
            continue
        lines.setdefault(here, _line(event))
        value: Any
        opening: _Open | None = None
        if isinstance(event, yaml.ScalarEvent):
            value = _scalar(event)
        else:
            value = {} if isinstance(event, yaml.MappingStartEvent) else []
            opening = _Open(here, value)
        if holder is None:
            top = value
        elif isinstance(holder.value, list):
            holder.value.append(value)
        else:
            holder.value[str(holder.key)] = value
            holder.key = None
        if opening is not None:
            stack.append(opening)
    return Document(top, lines, tuple(repeated))


def _path(stack: list[_Open]) -> Path:
    if not stack:
        return ()
    holder = stack[-1]
    if isinstance(holder.value, list):
        return (*holder.path, len(holder.value))
    return holder.path if holder.key is None else (*holder.path, holder.key)


def _plain(event: Any, here: Path) -> None:
    if isinstance(event, yaml.AliasEvent) or event.anchor is not None:
        sign = "*" if isinstance(event, yaml.AliasEvent) else "&"
        raise DocumentError(
            _line(event),
            here,
            f"{sign}{event.anchor}: anchors and aliases are not read; write it out",
        )
    if event.tag is not None:
        raise DocumentError(_line(event), here, f"the tag {event.tag} is not read: take it out")


def _scalar(event: Any) -> str | int | float | bool | None:
    text: str = event.value
    _printable(text, event)
    if event.style:
        return text
    word = text.lower() if text in (text.lower(), text.upper(), text.capitalize()) else text
    if word in _WORDS:
        return _WORDS[word]
    if _INT.fullmatch(text):
        return int(text)
    return float(text) if _FLOAT.fullmatch(text) else text


def _printable(text: str, event: Any) -> None:
    # Escapes bring in what a text may not hold as it is; databases refuse it.
    if _CONTROL.search(text):
        raise DocumentError(_line(event), (), "a control character by an escape: take it out")


def _line(event: Any) -> int:
    return int(event.start_mark.line) + 1


def _events(text: str) -> Iterator[Any]:
    # libyaml's parser is ten times as fast, where PyYAML was built with it.
    loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)(text)
    try:
        while loader.check_event():
            yield loader.get_event()
    finally:
        loader.dispose()
