"""What each route shows or does that the audit has to tell of: the one place where it says so.

A route is in DEEDS or in SILENT; a test holds api.roles to it. One that is in neither is audited
all the same, under its address.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from urllib.parse import quote

from fastapi import Request

from api.errors import wants_page
from api.guard import key_of
from rules.pseudonym import Pseudonyms, is_pseudonym, pseudonym_of

# Parameters that hold a plate, as typed.
_PLATES = frozenset({"plate", "plate_text", "text", "q", "near"})
# Parameters that are told as they are. What is not among them, nor a plate, is told as a keyed
# hash: nobody knows what a later endpoint takes.
_PLAIN = frozenset(
    {
        *("camera", "camera_id", "cameras", "site", "zone", "lane", "watchlist", "rule", "name"),
        *("region", "country", "direction", "status", "state", "severity", "type", "color"),
        *("min_confidence", "max_confidence", "kind", "format", "interval", "bucket", "edits"),
        *("start_time", "end_time", "start", "end", "since", "until", "hour", "weekday"),
        *("event_id", "alert_id", "correction_id", "user_id", "key_id", "number", "path"),
        *("actor", "action", "topic", "partition", "place", "step"),
    }
)
_UNTOLD = frozenset({"limit", "offset", "cursor", "page", "reason", "cards", "last_event_id"})
_ASKED = ("q", "plate", "plate_text", "text")  # of a query, in the order of what is looked for
_FALSE = ("0", "false")
_NEAR = frozenset({"edits", "within", "near", "fuzzy", "similar", "distance", "confusable"})


def _always(_: Request) -> bool:
    return True


def _by_itself(request: Request) -> bool:
    """Whether a picture is opened by itself: one that a page shows is told with its page.

    A page's pictures never come with a key: a program that says it is a page is a program.
    """
    return key_of(request) is not None or not (
        request.headers.get("sec-fetch-dest") == "image"
        and request.headers.get("sec-fetch-site") == "same-origin"
    )


@dataclass(frozen=True, slots=True)
class Deed:
    """What a route does in the words of the audit.

    ``subject`` names parameters in braces; one that holds a plate is told by its pseudonym. An
    empty one is told by what the request searches for. ``asks``: a reason is needed where
    reasons are. ``once``: a stream is told when it is opened, not what comes over it. ``named``:
    only of whom the endpoint names, since the guard asked nobody. ``filters``: its parameter
    ``reason`` is something else than why somebody looks.
    """

    action: str
    subject: str = ""
    asks: bool = True
    once: bool = False
    named: bool = False
    filters: bool = False
    when: Callable[[Request], bool] = _always

    @property
    def joined(self) -> bool:
        """Whether it may be asked for again and again, and is told once a minute."""
        return self.action == "list"


_WATCHLIST = "watchlist:{watchlist}"
_ON_LIST = "plate:{plate}"

DEEDS: Mapping[str, Deed] = {
    "GET /": Deed("watch", when=wants_page),
    "GET /live": Deed("watch", "live", once=True),
    "GET /events/stream": Deed("watch", "live", once=True),
    "GET /events/recent": Deed("list", "recent"),
    "GET /events/search": Deed("search"),
    "GET /search": Deed("search"),
    "GET /search/fulltext": Deed("search"),
    "GET /events/plate/{plate_text:path}": Deed("search", "plate:{plate_text}"),
    "GET /events/camera/{camera_id:path}": Deed("list", "camera:{camera_id}"),
    "GET /events/{event_id}": Deed("view", "sighting:{event_id}"),
    "GET /sightings/{event_id}": Deed("view", "sighting:{event_id}"),
    "GET /cameras": Deed("list", "cameras"),
    "GET /cameras/{camera_id:path}": Deed("list", "camera:{camera_id}"),
    "GET /sightings/{event_id}/corrections": Deed("view", "sighting:{event_id}"),
    "POST /sightings/{event_id}/corrections": Deed("correct", "sighting:{event_id}"),
    "DELETE /sightings/{event_id}/corrections/{correction_id}": Deed(
        "take back a correction", "sighting:{event_id}"
    ),
    "GET /corrections": Deed("list", "corrections"),
    "GET /plates/{text:path}": Deed("view", "plate:{text}"),
    "GET /plates/{text:path}/forget": Deed("view", "plate:{text}"),
    "GET /plates/{text:path}/journey": Deed("journey", "plate:{text}"),
    "GET /plates/{text:path}/companions": Deed("companions", "plate:{text}"),
    "GET /images/{path:path}": Deed("view", "picture:{path}", when=_by_itself),
    "GET /pictures/{token}": Deed("view", asks=False),
    "POST /links": Deed("export"),
    "GET /alerts": Deed("list", "alerts"),
    "GET /alerts/stream": Deed("watch", "alerts", once=True),
    "GET /alerts/{alert_id}": Deed("view", "alert:{alert_id}"),
    "POST /alerts/{alert_id}/acknowledge": Deed("acknowledge", "alert:{alert_id}"),
    "POST /alerts/{alert_id}/resolve": Deed("resolve", "alert:{alert_id}"),
    "POST /alerts/{alert_id}/comment": Deed("comment", "alert:{alert_id}"),
    "GET /watchlists/{watchlist}": Deed("list", _WATCHLIST),
    "GET /watchlists/{watchlist}.csv": Deed("export", _WATCHLIST),
    "PUT /watchlists/{watchlist}/{plate:path}": Deed("put on a list", _ON_LIST),
    "DELETE /watchlists/{watchlist}/{plate:path}": Deed("take off a list", _ON_LIST),
    "POST /watchlists/{watchlist}/import": Deed("import", _WATCHLIST),
    "POST /rules/backtest": Deed("backtest", "rules"),
    "GET /rules/backtest/{number}": Deed("view", "backtest:{number}"),
    "GET /audit": Deed("audit"),
    "GET /audit.csv": Deed("audit"),
    "POST /login": Deed("login", "session", asks=False, named=True),
    "POST /token": Deed("login", "token", asks=False, named=True),
    "POST /password": Deed("change the password", "own", asks=False),
    "GET /subscriptions": Deed("list", "subscriptions"),
    "POST /subscriptions": Deed("subscribe", "subscriptions"),
    "DELETE /subscriptions/{subscription_id}": Deed("unsubscribe", "subscriptions"),
    "POST /subscriptions/{subscription_id}/pause": Deed("unsubscribe", "subscriptions"),
    "POST /subscriptions/{subscription_id}/resume": Deed("subscribe", "subscriptions"),
    "GET /export/sightings.csv": Deed("export"),
    "GET /export/sightings.json": Deed("export"),
    "GET /export/sightings.ndjson": Deed("export"),
    "GET /sightings/{event_id}/evidence.zip": Deed("export", "sighting:{event_id}"),
    "GET /analytics": Deed("list", "analytics"),
    "GET /analytics/top": Deed("list", "analytics/top"),
    "GET /dead-letters": Deed("list", "dead letters", filters=True),
    "GET /dead-letters/{place:path}": Deed("view", "dead letter:{place}"),
    "POST /dead-letters/redrive": Deed("redrive", "dead letters"),
    "POST /people/users": Deed("add a user", asks=False),
    "POST /people/users/{name}": Deed("change a user", "user:{name}", asks=False),
    "POST /people/users/{name}/password": Deed("reset a password", "user:{name}", asks=False),
    "POST /people/users/{name}/disable": Deed("disable a user", "user:{name}", asks=False),
    "POST /people/users/{name}/enable": Deed("enable a user", "user:{name}", asks=False),
    "POST /people/keys": Deed("add a key", asks=False),
    "POST /people/keys/{key_id}/revoke": Deed("revoke a key", "key:{key_id}", asks=False),
}

# They show no plate and change nothing about people.
SILENT = frozenset(
    {
        # Who forgets writes that down itself, with the log that it erases from.
        "POST /plates/{text:path}/forget",
        "GET /forgetting/{number}",
        "GET /health",
        "GET /static/{name}",
        "GET /login",
        "POST /logout",
        "GET /password",
        "GET /people",
        "GET /docs",
        "GET /openapi.json",
        "GET /metrics",
        "GET /stats",
        "GET /corrections/report",
        "GET /system",
        "GET /reason",
        "POST /reason",
        "GET /watchlists",
        "GET /cameras/heat",
        # Counts alone.
        "GET /analytics/counts",
        "GET /analytics/groups",
        "GET /analytics/week",
        "GET /analytics/plates",
        "GET /analytics/dwell",
        "GET /analytics/latency",
        "GET /analytics/quality",
        # What they bring is on alpr.reads.raw.
        "POST /ingest/reads",
        "POST /ingest/frigate",
        "POST /ingest/rekor",
        "POST /ingest/fast-alpr",
        "POST /ingest/plate-recognizer",
        # Their versions are on alpr.rules, with who wrote them.
        "GET /rules",
        "GET /rules/schema",
        "GET /rules/new",
        "GET /rules/{name:path}",
        "POST /rules/test",
        "GET /rules/backtest",
        "DELETE /rules/backtest/{number}",
        "POST /rules",
        "PUT /rules/{name:path}",
        "DELETE /rules/{name:path}",
        "POST /rules/{name:path}/enable",
        "POST /rules/{name:path}/disable",
    }
)

CLEAR = frozenset(
    {
        "GET /images/{path:path}",
        "POST /links",
        "GET /dead-letters/{place:path}",
        "GET /rules/backtest",
        "POST /rules/backtest",
        "GET /rules/backtest/{number}",
        "POST /rules",
        "PUT /rules/{name:path}",
    }
)
"""Routes that show plates in ways that nothing veils: only for who may see plates as they are."""

_BRACES = re.compile(r"\{(\w+)(?::\w+)?\}")
_LONGEST = 300  # characters of a subject


def deed_of(route: str) -> Deed | None:
    """What is told of a route, ``METHOD /path``; None for a silent one."""
    if route in SILENT:
        return None
    if (declared := DEEDS.get(route)) is not None:
        return declared
    method, _, path = route.partition(" ")
    return Deed("view" if method == "GET" else "change", path.removeprefix("/"))


def meant(deed: Deed, request: Request) -> Deed:
    """The same; a list in which somebody looks for a plate is a search, and so is a stream."""
    asked = request.query_params
    if deed.once and asked.get("plate"):
        return replace(deed, action="search", subject=_ON_LIST)
    if deed.action == "list" and any(asked.get(name) for name in (*_ASKED, "near")):
        return replace(deed, action="search", subject="")
    return deed


def subject_of(deed: Deed, request: Request, names: Pseudonyms) -> str:
    """What a request is about, without any plate in clear."""
    if not deed.subject:
        return searched(dict(request.query_params), names)
    given = {
        name: str(request.path_params.get(name) or request.query_params.get(name, ""))
        for name in _BRACES.findall(deed.subject)
    }

    def put(found: re.Match[str]) -> str:
        name, value = found[1], given[found[1]]
        if name in _PLATES:
            return plate_named(value, names).partition(":")[2]
        return _plain(value) if name in _PLAIN else names.of_words(value)

    told = _BRACES.sub(put, deed.subject)
    if told.startswith("plate:") and any(set(value) & set("*?") for value in given.values()):
        told = "pattern:" + told.removeprefix("plate:")
    return told[:_LONGEST]


def searched(asked: Mapping[str, str], names: Pseudonyms) -> str:
    """What a search looks for: a plate, a pattern, or else its filters."""
    given = {name: value for name, value in asked.items() if value and name not in _UNTOLD}
    for name in _ASKED:
        if name in given:
            told = plate_named(given[name], names)
            near = any(given.get(one, "0") not in _FALSE for one in _NEAR)
            near = near or given.get("looks", "").startswith("near")
            return told.replace("plate:", "near:", 1) if near else told
    if "near" in given:
        return f"near:{names.of(given['near'])}"
    told = "&".join(
        f"{name}={_plain(value) if name in _PLAIN else names.of_words(value)}"
        for name, value in sorted(given.items())
    )
    return (told or "all")[:_LONGEST]


def plate_named(typed: str, names: Pseudonyms) -> str:
    """``plate:PSEUDONYM``, or ``pattern:PSEUDONYM`` for a text with wildcards."""
    if (pseudonym := pseudonym_of(typed)) is not None:
        return f"plate:{pseudonym}"
    if set(typed) & set("*?"):
        return f"pattern:{names.of_pattern(typed)}"
    return f"plate:{names.of(typed)}"


def subjects_of(typed: str, names: Pseudonyms) -> list[str]:
    """Every subject under which a search for this plate or pattern was noted."""
    first = plate_named(typed, names)
    if first.startswith("pattern:"):
        return [first]
    pseudonym = first.removeprefix("plate:")
    found = [first, f"near:{pseudonym}"]
    if not is_pseudonym(typed.strip().lower()):
        found.append(f"pattern:{names.of_pattern(typed.strip() + '*')}")
    return found


def _plain(value: str) -> str:
    return quote(value, safe=" /:.,~_-+@")
