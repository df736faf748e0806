"""Addresses of servers as settings give them: checked, and shown without what is secret."""

import re
from urllib.parse import unquote, urlsplit

_MASK = "***"
_SECRET = re.compile(r"pass|pwd|secret|token|key", re.IGNORECASE)
_COLON = re.compile(r":|%3a", re.IGNORECASE)
_OPTION = re.compile(r"([\w.%-]+)\s*=\s*")
# A quoted value, one that is masked already, or all up to the next option.
_VALUE = re.compile(
    r"'(?:\\.|[^'\\])*'(?=[&\s]|$)|\*\*\*(?=[&\s:;,]|$)|.*?(?=&[^=&]*=|\s+\w+\s*=|$)",
    re.DOTALL,
)
_NO_PORT = re.compile(r"://[^:/?#\[\]\s]*:(?!\s|[0-9]{0,5}(?:\W|$))")
_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+(%\w+)?\]|[^\[\]:\s]*)(:(?P<port>[0-9]*))?")


def masked(text: str) -> str:
    """A URL, a DSN or a message without its passwords; where they end is in doubt, without more.

    Hidden are all from a user's ``:`` to the last ``@``, and the values of options that are named
    like a secret.
    """
    spans = [_account(text)]
    for option in _OPTION.finditer(text):
        if _SECRET.search(unquote(option[1])):
            value = _VALUE.match(text, option.end())
            spans.append((option.end(), value.end() if value else len(text)))
    shown, at = "", 0
    for start, end in sorted(spans):
        if end > max(start, at):
            # A span that begins within the one before has its mask already.
            shown += text[at:start] + _MASK if start >= at else ""
            at = end
    return shown + text[at:]


def check(url: str, form: str) -> None:
    """Raise ValueError, with ``form`` for a cure and never a part of ``url``, for one that a
    client could read otherwise than it is meant.

    ``url`` is ``SCHEME://[USER[:PASSWORD]@][HOST[:PORT][,HOST…]][/…][?…]``.
    """
    rest = url.partition("://")[2]
    place = re.split(r"[/?#]", rest, maxsplit=1)[0]
    account, _, hosts = place.rpartition("@")
    if rest.count("@") != place.count("@") or re.search(r"[@\[\]\s\\]", account):
        raise ValueError(
            "its user or password holds one of / ? # @ [ ] \\ or a space, or an @ stands after "
            "the host: write them as %2F %3F %23 %40 %5B %5D %5C %20"
        )
    for host in hosts.split(","):
        found = _HOST.fullmatch(host)
        if found is None or (found["port"] and not 0 < int(found["port"]) < 65536):
            raise ValueError(f"its port is no number from 1 to 65535, or its host no name: {form}")


def check_http(url: str) -> None:
    """As ``check``, for ``http(s)://[USER:PASSWORD@]HOST[:PORT][/PATH][?ca=FILE]``."""
    form = "use http://HOST:PORT or https://USER:PASSWORD@HOST:PORT"
    if not re.match(r"https?://", url):
        raise ValueError(form)
    check(url, form)
    try:
        named = urlsplit(url).hostname and "," not in url.partition("?")[0].rpartition("@")[2]
    except ValueError:  # whose text repeats the password
        named = False
    if not named:
        raise ValueError(f"it names no host, or holds signs to be written as %XX: {form}")


def check_database(url: str) -> None:
    """As ``check``, for ``postgresql://…`` as libpq reads it."""
    form = "use embedded, or postgresql://USER:PASSWORD@HOST:PORT/DATABASE"
    if not re.match(r"postgres(ql)?://", url):
        raise ValueError(form)
    check(url, form)
    if re.search(r"%(?![0-9A-Fa-f]{2})|%00", url):
        raise ValueError("a % in it is not followed by two hexadecimal digits: write % as %25")


def _account(text: str) -> tuple[int, int]:
    """Where a password stands before the last ``@``; (0, 0) if there is none.

    Without an ``@`` it is what stands where a port should.
    """
    end = text.rfind("@")
    if end < 0:
        odd = _NO_PORT.search(text)
        return (odd.end(), len(text)) if odd else (0, 0)
    scheme = text.find("://", 0, max(end, 0))
    begin = 0 if scheme < 0 or re.search(r"[:@]", text[:scheme]) else scheme + 3
    colon = _COLON.search(text, begin, max(end, 0))
    return (colon.end(), end) if colon else (0, 0)
