"""Any other service that Apprise speaks to: ntfy, Telegram, Teams, Pushover, Gotify and so on."""

from collections.abc import Mapping
from typing import Any

from apprise import Apprise, NotifyFormat
from apprise.exception import AppriseException
from apprise.plugins import NotifyBase

from notify.channel import Delivery, OptionsError, Outcome
from notify.channels.apprised import asset, attached, outcome_of
from notify.channels.environment import Environment, Unset
from notify.channels.options import check
from notify.channels.quiet import overheard
from notify.render import message

# They show or write on the machine that sends, where nobody looks, or are told better otherwise.
_LOCAL = frozenset({"dbus", "glib", "gnome", "kde", "qt", "macosx", "windows", "syslog", "blink1"})


class Service:
    """Sends to the URL that a variable holds; its setter decides where that leads."""

    def __init__(self, environment: Environment) -> None:
        self._environment = environment

    def target(self, options: Mapping[str, Any]) -> str:
        """The service's name and the variable, such as ``ntfy (APPRISE_GUARDS)``."""
        check("apprise", options)
        name = options["url_env"]
        scheme = self._environment.get(name).partition("://")[0].lower()
        return f"{scheme} ({name})" if scheme.isalnum() else name

    def send(self, delivery: Delivery) -> Outcome:
        """Send once."""
        options = delivery.options
        try:
            where = self.target(options)
            url = self._environment.need(options["url_env"], "Apprise's URL of the service")
            told = message(delivery)
            with overheard():
                service = self._service(options["url_env"], url)
        except (OptionsError, Unset) as error:
            return Outcome("refused", self._environment.hide(str(error)))
        picture = delivery.picture if options.get("picture", True) else None
        with overheard() as heard:
            try:
                sent = service.notify(
                    body=told.text,
                    title=told.subject,
                    body_format=NotifyFormat.TEXT,
                    attach=attached(picture) if service.attachment_support else None,
                )
            except AppriseException as error:
                heard.append(str(error))
                sent = False
        if sent:
            return Outcome("sent", f"{where} was told")
        return outcome_of(heard, where, self._environment)

    def _service(self, name: str, url: str) -> NotifyBase:
        scheme = url.partition("://")[0].strip().lower()
        if scheme in _LOCAL:
            raise OptionsError(
                f"{name}: {scheme}:// tells only the machine that sends; name a service that "
                "reaches people"
            )
        made = Apprise.instantiate(url, asset=asset())
        if not isinstance(made, NotifyBase):
            raise OptionsError(
                f"{name} holds no URL that Apprise knows: see "
                "https://github.com/caronc/apprise/wiki for the form of each service"
            )
        return made
