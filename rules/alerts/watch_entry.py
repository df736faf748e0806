"""One entry of a watchlist as people state it: checked, and made a record."""

import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from rules.text import normalise
from schemas.records import WatchlistEntry

KINDS = ("allow", "deny", "notify")
MATCHES = ("exact", "wildcard", "fuzzy")
MAX_NAME, MAX_PLATE, MAX_TEXT, MAX_TAGS, MAX_TAG = 64, 64, 500, 20, 40
_LONGEST = 4 * MAX_PLATE  # of a plate once it is normalised: some letters become several

_NAME = re.compile(r"[\w][\w .-]*")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_DAY = re.compile(r"\d{4}-\d\d-\d\d")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_US = timedelta(microseconds=1)


class EntryError(ValueError):
    """An entry cannot be used; ``problems`` are pairs of field and sentence."""

    def __init__(self, problems: Iterable[tuple[str, str]]) -> None:
        self.problems = tuple(problems)
        super().__init__("; ".join(f"{field}: {message}" for field, message in self.problems))


def entry(
    watchlist: str,
    plate: str,
    *,
    actor: str,
    at: int,
    kind: str = "",
    match: str = "",
    reason: str = "",
    owner: str = "",
    valid_from: str | int | None = None,
    valid_to: str | int | None = None,
    tags: Iterable[str] = (),
    removed: bool = False,
) -> WatchlistEntry:
    """A record from what somebody wrote. ``at`` and numbers are microseconds UTC.

    An empty ``kind`` is notify; an empty ``match`` is wildcard where the plate holds ``*`` or
    ``?``, else exact. A time is ISO 8601, UTC without a zone; a day alone is its beginning for
    ``valid_from`` and its end for ``valid_to``. Raises EntryError with all that is wrong.
    """
    problems: list[tuple[str, str]] = []
    name = watchlist.strip()
    if not _NAME.fullmatch(name) or len(name) > MAX_NAME or name.lower().endswith(".csv"):
        problems.append(
            (
                "watchlist",
                f"{name[:MAX_NAME]!r} is no name of a list: use letters, digits, spaces, dots, - "
                f"and _, at most {MAX_NAME}, beginning with a letter or digit, no .csv at the end",
            )
        )
    kind = kind.strip().lower() or "notify"
    if kind not in KINDS:
        problems.append(("kind", f"{kind[:20]!r} is none of {', '.join(KINDS)}"))
    match = match.strip().lower() or ("wildcard" if set(plate) & set("*?") else "exact")
    if match not in MATCHES:
        problems.append(("match", f"{match[:20]!r} is none of {', '.join(MATCHES)}"))
    text = plate_of(plate, match)
    if told := _wrong_plate(plate, text, match):
        problems.append(("plate", told))
    said = {"reason": reason.strip(), "owner": owner.strip()}
    problems += [(field, told) for field, one in said.items() if (told := _wrong(one, MAX_TEXT))]
    tag_list = list(dict.fromkeys(tag.strip() for tag in tags if tag.strip()))
    if len(tag_list) > MAX_TAGS:
        problems.append(("tags", f"{len(tag_list)} are too many: give at most {MAX_TAGS}"))
    for tag in tag_list:
        told = _wrong(tag, MAX_TAG) or ("; separates tags: drop it" if ";" in tag else "")
        if told:
            problems.append(("tags", told))
    times: list[int | None] = []
    for field, given in (("valid_from", valid_from), ("valid_to", valid_to)):
        try:
            times.append(_time(given, end=field == "valid_to"))
        except ValueError:
            times.append(None)
            told = f"{str(given)[:40]!r} is no time: give a day such as 2026-01-31, or ISO 8601"
            problems.append((field, told))
    first, last = times
    if first is not None and last is not None and first >= last:
        problems.append(("valid_to", "is not after valid_from: exchange them"))
    if problems:
        raise EntryError(problems)
    return {
        "watchlist": name,
        "plate": text,
        "kind": kind,
        "match": match,
        "effective_from": at,
        "valid_from": first,
        "valid_to": last,
        "owner": said["owner"],
        "reason": said["reason"],
        "tags": tag_list,
        "removed": removed,
        "actor": actor,
    }


def check_stated(entry: WatchlistEntry) -> None:
    """Raise EntryError for a record that nobody can have stated: one that another program wrote."""
    kind, match, plate = entry["kind"], entry["match"], entry["plate"]
    problems: list[tuple[str, str]] = []
    if kind not in KINDS:
        problems.append(("kind", f"{kind[:20]!r} is none of {', '.join(KINDS)}"))
    if match not in MATCHES:
        problems.append(("match", f"{match[:20]!r} is none of {', '.join(MATCHES)}"))
    elif len(plate) > _LONGEST:
        problems.append(("plate", f"is longer than {_LONGEST} characters"))
    elif told := _wrong_plate("", plate_of(plate, match), match):
        problems.append(("plate", told))
    if problems:
        raise EntryError(problems)


def plate_of(plate: str, match: str) -> str:
    """A plate as entries hold it: normalised, but for the ``*`` and ``?`` of a wildcard."""
    if match != "wildcard":
        return normalise(plate)
    parts = re.split(r"([*?])", plate)
    return re.sub(r"\*+", "*", "".join(p if p in ("*", "?") else normalise(p) for p in parts))


def told_time(at: int | None) -> str:
    """A time as ``entry`` reads it back: ISO 8601 in UTC; '' for none."""
    return "" if at is None else (_EPOCH + at * _US).isoformat().replace("+00:00", "Z")


def _wrong_plate(plate: str, text: str, match: str) -> str:
    if len(plate) > MAX_PLATE:
        return f"is longer than {MAX_PLATE} characters: shorten it"
    if not text.strip("*?"):
        return f"{plate or text!r} holds no letter or digit: give a plate such as 34ABC123"
    if match != "wildcard" and set(plate) & set("*?"):
        return f"{plate!r} holds * or ?, which only the match wildcard knows: say wildcard"
    return ""


def _wrong(text: str, most: int) -> str:
    if len(text) > most:
        return f"is longer than {most} characters: shorten it"
    if _CONTROL.search(text):
        return "holds a line break or another control character: write it in one line"
    return ""


def _time(given: str | int | None, *, end: bool) -> int | None:
    if given is None or given == "":
        return None
    if isinstance(given, int):
        told_time(given)  # OverflowError is no ValueError
        return given
    text = given.strip()
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        if end and _DAY.fullmatch(text):
            moment += timedelta(days=1)
        # Around the calendar's ends an offset leads out of it: astimezone says so.
        return (moment.astimezone(UTC) - _EPOCH) // _US
    except OverflowError as error:
        raise ValueError(text) from error
