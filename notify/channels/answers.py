"""What an answer over HTTP means for a delivery."""

from notify.channel import Outcome
from notify.channels.environment import Environment
from notify.net import Answer

_SHOWN = 200  # characters of an error answer
_LATER = frozenset({408, 425, 429})


def outcome_of(answer: Answer, host: str, environment: Environment) -> Outcome:
    """``sent`` for 2xx; ``failed`` for what may pass; ``refused`` for the rest."""
    status = answer.status
    if 200 <= status < 300:
        return Outcome("sent", f"{host} answered {status}")
    if 300 <= status < 400:
        to = f" to {environment.hide(answer.leads_to)}" if answer.leads_to else ""
        return Outcome(
            "refused",
            f"{host} answered {status}, a redirect{to}, which is not followed: write the address "
            "it leads to",
        )
    detail = f"{host} answered {status}{quoted(answer.text, environment)}"
    if status in _LATER or status >= 500:
        return Outcome("failed", detail, answer.retry_after)
    return Outcome("refused", detail)


def quoted(text: str, environment: Environment) -> str:
    """``: TEXT`` for the beginning of what a server said, on one line and without secrets."""
    hidden = environment.hide(text)
    plain = " ".join("".join(c if c.isprintable() else " " for c in hidden).split())
    return f": {plain[:_SHOWN]}" if plain else ""
