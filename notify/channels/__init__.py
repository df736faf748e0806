"""The channels, by type of action."""

from collections.abc import Mapping, Sequence

from notify.channel import Channel
from notify.channels.environment import Environment
from notify.channels.options import check
from notify.net import Network, Post

__all__ = ["check", "open_channels"]


def open_channels(
    environ: Mapping[str, str], allow: Sequence[Network] = ()
) -> Mapping[str, Channel]:
    """A channel for each type of action: email, slack, webhook, sms, apprise.

    ``environ`` holds their servers and secrets, of which only what begins with SMTP_, SLACK_,
    WEBHOOK_, TWILIO_, APPRISE_ or NOTIFY_ is looked at. ``allow`` are private networks that
    webhooks of rules may lead to.
    """
    # Apprise takes a second to import, which who only checks options need not wait for.
    from notify.channels.mail import Mail
    from notify.channels.services import Service
    from notify.channels.slack import Slack
    from notify.channels.sms import Sms
    from notify.channels.webhook import Webhook

    environment = Environment(environ)
    post = Post(allow)
    return {
        "email": Mail(environment),
        "slack": Slack(environment, post),
        "webhook": Webhook(environment, post),
        "sms": Sms(environment),
        "apprise": Service(environment),
    }
