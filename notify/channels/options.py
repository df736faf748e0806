"""The options of each type of action: one table that checks them, and that the docs show."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from notify import net
from notify.channel import OptionsError
from notify.channels.environment import variable
from notify.limits import OWN_OPTIONS, pace
from notify.render import check_template

TYPES = ("email", "slack", "webhook", "sms", "apprise")

_MAIL = re.compile(r"[A-Za-z0-9!#$%&'*+./=?^_`{|}~-]{1,64}@[A-Za-z0-9._-]{1,255}")
_E164 = re.compile(r"\+[1-9]\d{6,14}")
_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}")  # RFC 9110, 5.6.2
_SECRET_NAME = re.compile(r"auth|token|key|secret|pass|cookie", re.IGNORECASE)
_OWN_HEADERS = frozenset(
    {
        *("host", "content-length", "content-type", "transfer-encoding", "connection"),
        *("idempotency-key", "x-alpr-timestamp", "x-alpr-signature", "expect", "te", "upgrade"),
    }
)
_MOST = 50  # recipients of one action

Check = Callable[[str, Any], None]


@dataclass(frozen=True, slots=True)
class Option:
    """What may stand there; ``check(name, value)`` raises OptionsError."""

    meaning: str
    check: Check


def _fail(name: str, told: str) -> None:
    raise OptionsError(f"{name}: {told}")


def _text(most: int) -> Check:
    def check(name: str, value: Any) -> None:
        if not isinstance(value, str) or not value.strip() or len(value) > most:
            _fail(name, f"give a text of 1 to {most} characters")
        check_template(name, value)

    return check


def _plain(pattern: str, form: str) -> Check:
    def check(name: str, value: Any) -> None:
        if not isinstance(value, str) or not re.fullmatch(pattern, value):
            _fail(name, form)

    return check


def _each(pattern: re.Pattern[str], form: str) -> Check:
    def check(name: str, value: Any) -> None:
        given = listed(value)
        if not given or len(given) > _MOST:
            _fail(name, f"give one, or a list of 1 to {_MOST}")
        for one in given:
            if not isinstance(one, str) or not pattern.fullmatch(one):
                _fail(name, f"{str(one)[:80]!r} {form}")

    return check


def _named(*prefixes: str) -> Check:
    def check(name: str, value: Any) -> None:
        variable(value if isinstance(value, str) else "", name, prefixes)

    return check


def _switch(name: str, value: Any) -> None:
    if not isinstance(value, bool):
        _fail(name, "give true or false")


def _url(name: str, value: Any) -> None:
    try:
        net.check(value if isinstance(value, str) else "")
    except net.Unusable as error:
        _fail(name, str(error))


def _headers(name: str, value: Any) -> None:
    if not isinstance(value, Mapping):
        _fail(name, "give names and values of headers")
    for key, text in value.items():
        if not isinstance(key, str) or not _TOKEN.fullmatch(key):
            _fail(name, f"{str(key)[:80]!r} is no name of a header")
        if key.lower() in _OWN_HEADERS:
            _fail(name, f"{key} is set by the channel itself: leave it out")
        if _SECRET_NAME.search(key):
            _fail(
                name,
                f"{key} is named like a secret, and rules hold none: put it into a variable, "
                "and name that by token_env (and the header by token_header)",
            )
        if not isinstance(text, str) or not text.isascii() or not text.isprintable():
            _fail(name, f"the value of {key} is no printable ASCII text")


def _header(name: str, value: Any) -> None:
    known = isinstance(value, str) and _TOKEN.fullmatch(value)
    if not known or value.lower() in _OWN_HEADERS:
        _fail(name, "give the name of a header, such as X-API-Key")


_RECIPIENT = Option("an address or a list of them", _each(_MAIL, "is no email address"))
_PHONE = Option(
    "a number or a list of them, in international form such as +905321234567",
    _each(_E164, "is no number in international form: write + and country code, digits only"),
)
_SUBJECT = Option("the subject, with fields such as `{plate}`", _text(300))
_BODY = Option("the text, with fields such as `{plate}`", _text(5000))
_PICTURE = Option("`false`: the plate's picture is not attached", _switch)

OPTIONS: Mapping[str, Mapping[str, Option]] = {
    "email": {
        "to": _RECIPIENT,
        "recipients": _RECIPIENT,
        "subject": _SUBJECT,
        "body": _BODY,
        "picture": _PICTURE,
    },
    "slack": {
        "channel": Option(
            "`#name`, `@user` or an id, for webhooks that may choose",
            _plain(r"[#@]?[^\s#@<>&]{1,80}", "give #channel, @user, or the id of a channel"),
        ),
        "url_env": Option(
            "the variable of the webhook's URL, instead of SLACK_WEBHOOK_URL",
            _named("SLACK_", "NOTIFY_"),
        ),
        "body": _BODY,
    },
    "webhook": {
        "url": Option("where to post", _url),
        "url_env": Option(
            "the variable of the URL, instead of `url`; may lead into the private network",
            _named("WEBHOOK_", "NOTIFY_"),
        ),
        "secret_env": Option(
            "the variable of the secret that signs, instead of WEBHOOK_SECRET",
            _named("WEBHOOK_", "NOTIFY_"),
        ),
        "token_env": Option(
            "the variable of the token, instead of WEBHOOK_TOKEN", _named("WEBHOOK_", "NOTIFY_")
        ),
        "token_header": Option(
            "the header of the token, instead of `Authorization: Bearer …`", _header
        ),
        "headers": Option("further headers, without secrets", _headers),
    },
    "sms": {
        "to": _PHONE,
        "recipients": _PHONE,
        "phone_numbers": _PHONE,
        "body": _BODY,
    },
    "apprise": {
        "url_env": Option("the variable of Apprise's URL", _named("APPRISE_", "NOTIFY_")),
        "subject": _SUBJECT,
        "body": _BODY,
        "picture": _PICTURE,
    },
}

# At least one of these must be given.
_NEEDED: Mapping[str, tuple[str, ...]] = {
    "email": ("to", "recipients"),
    "slack": (),
    "webhook": ("url", "url_env"),
    "sms": ("to", "recipients", "phone_numbers"),
    "apprise": ("url_env",),
}


def check(type: str, options: Mapping[str, Any]) -> None:
    """Raise OptionsError for a type that there is not, or an option that cannot be used.

    The queue's own options (``rate``, ``group``) are checked, too.
    """
    known = OPTIONS.get(type)
    if known is None:
        raise OptionsError(f"there is no type of action {type[:80]!r}; {_near(type, TYPES)}")
    pace(type, options)
    for name, value in options.items():
        if name in OWN_OPTIONS:
            continue
        if name not in known:
            raise OptionsError(f"{type} has no option {str(name)[:80]!r}; {_near(name, known)}")
        known[name].check(name, value)
    needed = _NEEDED[type]
    if needed and not any(name in options for name in needed):
        raise OptionsError(f"{type} needs {' or '.join(needed)}: {known[needed[0]].meaning}")
    if "url" in options and "url_env" in options:
        raise OptionsError("webhook takes url or url_env, not both")


def recipients(options: Mapping[str, Any], type: str) -> tuple[str, ...]:
    """All who are named, each once."""
    given = (listed(options[name]) for name in _NEEDED[type] if name in options)
    return tuple(dict.fromkeys(one for some in given for one in some))


def listed(value: Any) -> list[Any]:
    """A value, or those of a list."""
    return list(value) if isinstance(value, list | tuple) else [value]


def _near(name: Any, known: Any) -> str:
    close = get_close_matches(str(name), known, n=1, cutoff=0.5)
    return f"did you mean {close[0]}?" if close else f"there are {', '.join(known)}"
