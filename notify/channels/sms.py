"""SMS by Twilio, or by a gateway that speaks as Twilio does; cut to one message."""

from collections.abc import Mapping
from typing import Any

from apprise.exception import AppriseException
from apprise.plugins.twilio import NotifyTwilio

from notify.channel import Delivery, OptionsError, Outcome
from notify.channels.apprised import Reached, asset, is_final, outcome_of
from notify.channels.environment import Environment, Unset
from notify.channels.options import check, recipients
from notify.channels.quiet import overheard
from notify.net import Unusable
from notify.net import check as check_url
from notify.render import own_body, show

# GSM 03.38: what fits 7 bits, and what takes two of them. The one message holds 160 of those or
# 70 units of UTF-16. https://www.twilio.com/docs/glossary/what-is-gsm-7-character-encoding
_GSM = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
_GSM_TWO = frozenset("^{}\\[~]|€\f")
_GSM_UNITS, _UCS2_UNITS = 160, 70
_HEADINGS = {
    "raised": "",
    "updated": "Updated: ",
    "withdrawn": "Withdrawn: ",
    "escalated": "Not acknowledged: ",
    "test": "Test: ",
}


class Sms:
    """Texts each number; those that had it are left out when it is tried again."""

    def __init__(self, environment: Environment) -> None:
        self._environment = environment
        self._reached = Reached()

    def target(self, options: Mapping[str, Any]) -> str:
        """The numbers."""
        check("sms", options)
        return ", ".join(recipients(options, "sms"))

    def send(self, delivery: Delivery) -> Outcome:
        """Send to all who have not had it yet."""
        try:
            self.target(delivery.options)
            text = text_of(delivery)
            had = self._reached.of(delivery.notification_id)
            numbers = recipients(delivery.options, "sms")
            accounts = [(n, self._account(n)) for n in numbers if n not in had]
        except (OptionsError, Unset, Unusable) as error:
            return Outcome("refused", self._environment.hide(str(error)))
        outcomes = [self._send(delivery.notification_id, n, a, text) for n, a in accounts]
        return together(outcomes)

    def _send(self, message: str, number: str, account: NotifyTwilio, text: str) -> Outcome:
        with overheard() as heard:
            try:
                sent = account.notify(body=text)
            except AppriseException as error:
                heard.append(str(error))
                sent = False
        if not sent:
            return outcome_of(heard, number, self._environment, _is_final)
        self._reached.add(message, number)
        return Outcome("sent", f"{number} was told")

    def _account(self, number: str) -> NotifyTwilio:
        """Raises Unset, OptionsError, Unusable."""
        need, get = self._environment.need, self._environment.get
        account = need("TWILIO_ACCOUNT_SID", "the account's SID")
        token = need("TWILIO_AUTH_TOKEN", "the account's token")
        source = need("TWILIO_FROM", "the number that sends")
        try:
            with overheard():
                made = NotifyTwilio(account, token, source, targets=[number], asset=asset())
        except (AppriseException, TypeError):
            # Its own message repeats what was given, token included.
            raise OptionsError(
                "TWILIO_ACCOUNT_SID (AC and hexadecimal digits), TWILIO_AUTH_TOKEN (letters and "
                "digits) or TWILIO_FROM (+905321234567, or a short code) has another form"
            ) from None
        if api := get("TWILIO_API_URL"):
            check_url(api)
            # A gateway on the premises that takes what Twilio's API takes.
            made.notify_sms_url = api.rstrip("/") + "/2010-04-01/Accounts/{sid}/Messages.json"
        return made


def text_of(delivery: Delivery) -> str:
    """One SMS: the plate first, the link last, and between them what there is room for."""
    shown = show(delivery)
    grouped = len(delivery.others) + delivery.more
    link = shown.page_url or shown.picture_url
    if own := own_body(delivery, shown):
        # The link is kept only where the rule's own text has it.
        start, rest = "", own
        link = link if link and link in own else ""
        rest = rest.replace(link, "").strip() if link else rest.strip()
    else:
        start = _HEADINGS.get(shown.kind, "") + shown.plate
        start += f" (+{grouped})" if grouped else ""
        told = (shown.rule, shown.camera, shown.time, shown.message)
        rest = ", ".join(part for part in told if part)
    return fitted(start, rest, link)


def fitted(start: str, rest: str, end: str) -> str:
    """``start: rest end`` in one message; what is too long is cut out of ``rest``, then of all.

    A text that only ``rest`` keeps from GSM-7 is judged whole, as it is sent whole.
    """
    joined = ": " if start and rest else ""
    gap = " " if end and (start or rest) else ""
    whole = start + joined + rest + gap + end
    gsm, room = is_gsm(whole), room_of(whole)
    if units(whole, gsm=gsm) <= room:
        return whole
    # The sign for what is left out, in the text's own alphabet.
    dots = "..." if gsm else "…"
    fixed = units(start + joined + gap + end + dots, gsm=gsm)
    if fixed <= room:
        return start + joined + cut(rest, room - fixed, gsm=gsm).rstrip(" ,") + dots + gap + end
    # Half a link leads nowhere: it goes before the plate does.
    return cut(start or rest, room - len(dots), gsm=gsm) + dots


def is_gsm(text: str) -> bool:
    """Whether a text is sent in seven bits a sign."""
    return all(sign in _GSM or sign in _GSM_TWO for sign in text)


def room_of(text: str) -> int:
    """Units of one message of a text's alphabet."""
    return _GSM_UNITS if is_gsm(text) else _UCS2_UNITS


def units(text: str, *, gsm: bool) -> int:
    """What a text takes of them."""
    if gsm:
        return sum(2 if sign in _GSM_TWO else 1 for sign in text)
    return sum(2 if ord(sign) > 0xFFFF else 1 for sign in text)


def cut(text: str, most: int, *, gsm: bool) -> str:
    """The beginning that takes at most so many units; no sign is cut in half."""
    taken = 0
    for at, sign in enumerate(text):
        taken += units(sign, gsm=gsm)
        if taken > most:
            return text[:at]
    return text


def _is_final(code: int) -> bool:
    # Twilio's own codes: 21xxx is a request that is wrong, but for a queue that is full (21611).
    # https://www.twilio.com/docs/api/errors
    return is_final(code) or (21_000 <= code < 22_000 and code != 21_611)


def together(outcomes: list[Outcome]) -> Outcome:
    """What several recipients come to: any that may yet be told make it worth another try."""
    results = {one.result for one in outcomes}
    detail = "; ".join(one.detail for one in outcomes)
    if "failed" in results:
        return Outcome("failed", detail)
    if results == {"refused"}:
        return Outcome("refused", detail)
    return Outcome("sent", detail or "all were told before")
