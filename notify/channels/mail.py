"""Email over SMTP: Apprise's account and message, with our own text beside the HTML."""

import hashlib
import smtplib
import ssl
import time
from collections.abc import Mapping
from dataclasses import replace
from email import message_from_string
from typing import Any

from apprise import NotifyFormat
from apprise.exception import AppriseException
from apprise.plugins.email import NotifyEmail
from apprise.plugins.email.smtp import AppriseSMTPController

from notify.channel import Delivery, OptionsError, Outcome, Picture
from notify.channels.answers import quoted
from notify.channels.apprised import Reached, asset, attached
from notify.channels.environment import Environment, Unset
from notify.channels.options import check, recipients
from notify.channels.quiet import overheard
from notify.render import Message, message

_MODES = {"none": "insecure", "starttls": "starttls", "tls": "ssl"}
_STEP_S = 6.0  # for each answer of the server
_LIMIT_S = 20.0  # for all recipients; who is left is told at the next try
# Of the account, not of the message: the operator mends them. RFC 4954, 6; RFC 3207, 4.
_ACCOUNT = frozenset({530, 534, 535, 538})


class _Connection(AppriseSMTPController):
    """Apprise's, but what the server says against a message is raised, not logged."""

    def deliver(self, sender: str, recipient: str, mail: str) -> None:
        """Hand one message over. Raises smtplib.SMTPException, OSError."""
        assert self._socket is not None
        self._socket.sendmail(sender, [recipient], mail)


class Mail:
    """Sends each recipient a message of their own, all over one connection."""

    def __init__(self, environment: Environment) -> None:
        self._environment = environment
        self._reached = Reached()

    def target(self, options: Mapping[str, Any]) -> str:
        """The recipients."""
        check("email", options)
        return ", ".join(recipients(options, "email"))

    def send(self, delivery: Delivery) -> Outcome:
        """Send to all who have not had it yet."""
        host = self._environment.get("SMTP_HOST")
        try:
            self.target(delivery.options)
            account = self._account()
            picture = delivery.picture if delivery.options.get("picture", True) else None
            told = message(delivery, f"cid:{_name(picture)}" if picture else "")
        except (OptionsError, Unset) as error:
            return Outcome("refused", self._environment.hide(str(error)))
        with overheard():
            try:
                return self._send(account, delivery, told, picture)
            except AppriseException as error:
                return Outcome("refused", f"the message cannot be made: {self._told(error)}")
            except (smtplib.SMTPException, OSError, RuntimeError, ValueError) as error:
                return Outcome("failed", f"{host}: {self._told(error)}")

    def _send(
        self, account: NotifyEmail, delivery: Delivery, told: Message, picture: Picture | None
    ) -> Outcome:
        had = self._reached.of(delivery.notification_id)
        sender = account.from_addr[1]
        until = time.monotonic() + _LIMIT_S
        failed: list[str] = []
        refused: list[str] = []
        connection = self._connection(account)
        with connection:
            for recipient in recipients(delivery.options, "email"):
                if recipient in had:
                    continue
                if time.monotonic() > until:
                    failed.append(f"{recipient}: no time was left")
                    continue
                mail = _mail(account, delivery, told, picture, recipient)
                try:
                    connection.deliver(sender, recipient, mail)
                except smtplib.SMTPServerDisconnected:
                    raise
                except smtplib.SMTPException as error:
                    lasting = 500 <= _code(error) < 600 and _code(error) not in _ACCOUNT
                    (refused if lasting else failed).append(f"{recipient}: {self._told(error)}")
                else:
                    self._reached.add(delivery.notification_id, recipient)
        host = account.smtp_host
        if failed:
            return Outcome("failed", f"{host} did not take it for " + "; ".join(failed))
        if refused and not self._reached.of(delivery.notification_id):
            return Outcome("refused", f"{host} refused " + "; ".join(refused))
        also = "; but refused " + "; ".join(refused) if refused else ""
        return Outcome("sent", f"{host} took it{also}")

    def _account(self) -> NotifyEmail:
        """Raises Unset, OptionsError."""
        get = self._environment.get
        host = self._environment.need("SMTP_HOST", "the name of the mail server")
        user = get("SMTP_USERNAME")
        sender = get("SMTP_FROM") or (user if "@" in user else "")
        if not sender:
            raise Unset("SMTP_FROM is not set: put the sender's address there")
        security = get("SMTP_SECURITY").lower() or "starttls"
        port = get("SMTP_PORT")
        if security not in _MODES:
            raise OptionsError("SMTP_SECURITY is none of none, starttls, tls")
        if port and not (port.isdecimal() and 0 < int(port) < 65536):
            raise OptionsError("SMTP_PORT is no number from 1 to 65535")
        try:
            with overheard():
                return NotifyEmail(
                    host=host,
                    smtp_host=host,
                    port=int(port) if port else None,
                    secure_mode=_MODES[security],
                    user=user or None,
                    password=get("SMTP_PASSWORD") or None,
                    from_addr=sender,
                    asset=asset(),
                )
        except (AppriseException, TypeError) as error:
            raise OptionsError(
                f"SMTP_FROM cannot be used: {error}; write name@example.com or "
                "Name <name@example.com>"
            ) from None

    def _connection(self, account: NotifyEmail) -> _Connection:
        return _Connection(
            host=account.smtp_host or "",
            port=account.port or 0,
            secure_mode=account.secure_mode or "",
            user=account.user,
            password=account.password,
            socket_connect_timeout=_STEP_S,  # type: ignore[arg-type]
        )

    def _told(self, error: BaseException) -> str:
        return quoted(_words(error), self._environment).removeprefix(": ")


def _mail(
    account: NotifyEmail,
    delivery: Delivery,
    told: Message,
    picture: Picture | None,
    recipient: str,
) -> str:
    """One whole message.

    Apprise would make its text from the HTML, and another Message-ID at each try: by an equal
    one mail servers and clients recognise the same message.
    """
    named = picture and replace(picture, name=_name(picture))
    prepared = NotifyEmail.prepare_emails(
        subject=told.subject,
        body=told.html,
        from_addr=account.from_addr,
        to=[(False, recipient)],
        smtp_host=account.smtp_host,
        notify_format=NotifyFormat.HTML,
        attach=attached(named),
        headers={
            "X-ALPR-Notification": delivery.notification_id,
            "Auto-Submitted": "auto-generated",
        },
        inline=True,
    )
    mail = message_from_string(next(iter(prepared)).body)
    text = next(part for part in mail.walk() if part.get_content_type() == "text/plain")
    del text["Content-Transfer-Encoding"]
    text.set_payload(told.text, "utf-8")
    unique = hashlib.sha256(f"{delivery.notification_id} {recipient}".encode()).hexdigest()[:32]
    domain = account.from_addr[1].rpartition("@")[2]
    mail.replace_header("Message-ID", f"<{unique}@{domain}>")
    return mail.as_string()


def _name(picture: Picture) -> str:
    """What the picture is called within a message, and by who saves it."""
    return "plate.png" if picture.media == "image/png" else "plate.jpg"


def _code(error: smtplib.SMTPException) -> int:
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        return min(code for code, _ in error.recipients.values())
    return getattr(error, "smtp_code", 0)


def _words(error: BaseException) -> str:
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        answers = error.recipients.values()
        return "; ".join(f"{code} {_text(answer)}" for code, answer in answers)
    if isinstance(error, smtplib.SMTPAuthenticationError):
        told = f"{error.smtp_code} {_text(error.smtp_error)}"
        return f"user or password is wrong ({told}): correct SMTP_USERNAME and SMTP_PASSWORD"
    if isinstance(error, smtplib.SMTPResponseException):
        return f"{error.smtp_code} {_text(error.smtp_error)}"
    return _net_words(error)


def _net_words(error: BaseException) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return (
            f"its certificate is not trusted ({error.verify_message}); name the PEM file of the "
            "authority that signed it by SSL_CERT_FILE"
        )
    if isinstance(error, ssl.SSLError):
        return f"TLS failed ({error.reason}); see SMTP_SECURITY"
    if isinstance(error, TimeoutError):
        return "no answer in time"
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def _text(answer: bytes | str) -> str:
    return answer.decode("utf-8", "replace") if isinstance(answer, bytes) else answer
