"""What is wrong with an action, as far as a rule alone can tell: no receiver, a secret inside."""

import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import parse_qsl, urlsplit

_RECEIVERS = {
    "email": ("to", "recipients"),
    "sms": ("to", "recipients", "phone_numbers"),
    "webhook": ("url", "url_env"),
}
SECRET = re.compile(r"auth|token|key|secret|pass|cookie|signature", re.IGNORECASE)
"""What names say that hold a secret."""

_IN_QUERY = re.compile(r"(^|[_-])(auth|token|(api)?key|secret|pass\w*|sig\w*)$", re.IGNORECASE)

Problem = tuple[tuple[str, ...], str]
"""The path inside the action, and what is wrong and what to do. It quotes no value."""


def action_problems(action: Mapping[str, Any]) -> Iterator[Problem]:
    """Every problem of an action whose structure is as the schema has it."""
    kind: str = action["type"]
    keys = _RECEIVERS.get(kind, ())
    given = [key for key in keys if key in action]
    if keys and not given:
        yield (), f"{kind} does not say to whom: add {keys[0]}"
    if kind == "webhook" and len(given) > 1:
        yield ("url_env",), "stands beside url: keep one"
    url = action.get("url", "")
    if url and (cause := _secret_in(url)):
        told = f"holds a secret ({cause}): put the address into an environment variable"
        yield ("url",), f"{told} and name that in url_env"
    for header in action.get("headers", {}):
        if SECRET.search(header):
            told = "holds a secret: put it into an environment variable and name that in token_env"
            yield ("headers", header), told


def _secret_in(url: str) -> str:
    try:
        parts = urlsplit(url)
        host, names = parts.hostname or "", [name for name, _ in parse_qsl(parts.query)]
    except ValueError:
        return "it is no address"
    if "@" in parts.netloc:
        return "user or password"
    if host == "hooks.slack.com" or host.endswith(".hooks.slack.com"):
        return "Slack's addresses are secrets"
    if any(_IN_QUERY.search(name) for name in names):
        return "a token in its query"
    return ""
