"""The variables that channels read, and their values kept out of all that is shown."""

import re
from base64 import b64encode
from collections.abc import Mapping
from urllib.parse import parse_qsl, quote, quote_plus, unquote, urlsplit

from notify.channel import OptionsError

PREFIXES = ("SMTP_", "SLACK_", "WEBHOOK_", "TWILIO_", "APPRISE_", "NOTIFY_")
# Of these, what is no secret: shown so that people see which server was meant.
_OPEN = frozenset(
    {
        *("SMTP_HOST", "SMTP_PORT", "SMTP_FROM", "SMTP_SECURITY", "SMTP_USERNAME"),
        *("TWILIO_FROM", "TWILIO_API_URL"),
    }
)
_SHORTEST = 4  # signs; what is shorter would blank out plain words
_PART = 9  # signs, of a part of a URL: shorter ones are `v1`, `services`


class Unset(Exception):
    """A variable that is needed is not set; the message names it."""


class Environment:
    """The channels' part of an environment; ``repr`` shows no value."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._values = {
            name: value.strip()
            for name, value in environ.items()
            if name.startswith(PREFIXES) and value.strip()
        }
        found: set[str] = set()
        for name, value in self._values.items():
            if name not in _OPEN:
                found |= _spellings(value)
        if token := self.get("TWILIO_AUTH_TOKEN"):
            account = f"{self.get('TWILIO_ACCOUNT_SID')}:{token}"
            found.add(b64encode(account.encode()).decode())
        # The longest first, so that no tail of one is left where another is a part of it.
        longest_first = sorted(found, key=len, reverse=True)
        self._secret = re.compile("|".join(map(re.escape, longest_first)) or "(?!)", re.IGNORECASE)

    def get(self, name: str) -> str:
        """The value of a variable, '' if it is not set."""
        return self._values.get(name, "")

    def need(self, name: str, meaning: str) -> str:
        """The value of a variable. Raises Unset."""
        if name not in self._values:
            raise Unset(f"{name} is not set: put {meaning} there and start the process again")
        return self._values[name]

    def hide(self, text: str) -> str:
        """The text with ``***`` for every secret, in each way that it may be written."""
        return self._secret.sub("***", text)


def variable(name: str, option: str, prefixes: tuple[str, ...]) -> str:
    """The name of a variable that a rule may name. Raises OptionsError.

    A rule must not be able to send what else the environment holds to an address of its own.
    """
    if not re.fullmatch(r"[A-Z][A-Z0-9_]*", name) or not name.startswith(prefixes):
        told = " or ".join(prefixes)
        raise OptionsError(
            f"{option}: {name[:80]!r} is no variable that this type of action reads: its name "
            f"begins with {told}"
        )
    return name


def _spellings(value: str) -> set[str]:
    parts = {value}
    if "://" in value:
        try:
            url = urlsplit(value)
        except ValueError:
            url = urlsplit("")
        parts |= {url.password or "", url.username or "", url.path, url.query}
        parts |= {part for part in url.path.split("/") if len(part) >= _PART}
        parts |= {part for _, part in parse_qsl(url.query) if len(part) >= _PART}
        # Of services whose token stands where others have their host, such as discord://.
        parts |= {url.netloc} if url.scheme not in ("http", "https") else set()
    written = parts | {unquote(part) for part in parts}
    written |= {quote(part, safe="") for part in written} | {quote_plus(part) for part in written}
    written |= {b64encode(part.encode()).decode() for part in written}
    return {part for part in written if len(part) >= _SHORTEST}
