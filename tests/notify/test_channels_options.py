"""The options of actions: which there are, and what is told of the others."""

import re
from pathlib import Path
from typing import Any

import pytest

from notify.channel import OptionsError
from notify.channels import check, open_channels
from notify.channels.options import OPTIONS, TYPES
from notify.render import FIELDS

DOCS = Path(__file__).parents[2] / "docs" / "channels.md"


@pytest.mark.parametrize(
    ("type", "options"),
    [  # the seeds' own examples
        ("email", {"recipients": ["security@example.com"], "subject": "ALPR Alert: High"}),
        ("slack", {"channel": "#security-alerts"}),
        ("email", {"to": "security@example.com"}),
        ("slack", {"channel": "#alerts"}),
        ("webhook", {"url": "https://api.example.com/events"}),
        ("sms", {"phone_numbers": ["+15551234567"]}),
        ("slack", {}),
        ("webhook", {"url": "https://api.example.com/", "rate": "10/s", "group": "2m"}),
        ("apprise", {"url_env": "APPRISE_GUARDS", "picture": False}),
    ],
)
def test_these_can_be_used(type: str, options: dict[str, Any]):
    check(type, options)
    assert open_channels({})[type].target(options)


@pytest.mark.parametrize(
    ("type", "options", "told"),
    [
        ("emial", {}, "there is no type of action 'emial'; did you mean email?"),
        ("pager", {}, "there are email, slack, webhook, sms, apprise"),
        ("email", {"recipient": "a@b.c"}, "email has no option 'recipient'; did you mean recip"),
        ("email", {}, "email needs to or recipients"),
        ("email", {"to": "nobody"}, "'nobody' is no email address"),
        ("email", {"to": "a@example.com\r\nBcc: b@example.com"}, "is no email address"),
        ("email", {"to": "a@example.com,b@example.com"}, "is no email address"),
        ("email", {"to": "kapıcı@example.com"}, "is no email address"),
        ("email", {"to": []}, "to: give one, or a list of 1 to 50"),
        ("email", {"to": "a@b.example", "subject": "{plat}"}, "there is no field '{plat}'"),
        ("email", {"to": "a@b.example", "picture": "no"}, "picture: give true or false"),
        ("slack", {"channel": "<!everyone>"}, "channel: give #channel"),
        ("slack", {"url": "https://hooks.slack.com/x"}, "slack has no option 'url'; did you mean"),
        ("slack", {"url_env": "SMTP_PASSWORD"}, "begins with SLACK_ or NOTIFY_"),
        ("webhook", {}, "webhook needs url or url_env"),
        ("webhook", {"url": "https://a.example", "url_env": "WEBHOOK_A"}, "not both"),
        ("webhook", {"url": "https://u:p@a.example"}, "url: the URL holds a user or password"),
        ("webhook", {"url_env": "DATABASE_URL"}, "begins with WEBHOOK_ or NOTIFY_"),
        ("webhook", {"url": "https://a.example", "token_env": "SMTP_PASSWORD"}, "is no variable"),
        ("webhook", {"url": "https://a.example", "token_env": "webhook_x"}, "is no variable"),
        (
            "webhook",
            {"url": "https://a.example", "headers": {"Authorization": "Bearer hunter22"}},
            "rules hold none: put it into a variable",
        ),
        (
            "webhook",
            {"url": "https://a.example", "headers": {"Host": "b"}},
            "by the channel itself",
        ),
        ("webhook", {"url": "https://a.example", "headers": {"X\n": "b"}}, "no name of a header"),
        ("webhook", {"url": "https://a.example", "headers": {"X": "a\r\nY: b"}}, "no printable"),
        ("webhook", {"url": "https://a.example", "token_header": "Host"}, "the name of a header"),
        ("sms", {"to": "05321234567"}, "is no number in international form"),
        ("sms", {"to": "+90 532 123 45 67"}, "is no number in international form"),
        ("sms", {"to": 905321234567}, "is no number in international form"),
        ("slack", {"rate": "often"}, "rate: 'often' is no rate"),
        ("apprise", {}, "apprise needs url_env"),
        ("apprise", {"url_env": "ALPR_DATABASE_URL"}, "begins with APPRISE_ or NOTIFY_"),
    ],
)
def test_what_cannot_be_used_is_named_with_its_cure(type: str, options: dict[str, Any], told: str):
    with pytest.raises(OptionsError) as error:
        check(type, options)
    assert told in str(error.value)
    assert "hunter22" not in str(error.value)
    if type in TYPES:
        with pytest.raises(OptionsError):
            open_channels({})[type].target(options)


def test_the_docs_list_the_options_that_there_are():
    docs = DOCS.read_text()
    for type in TYPES:
        section = docs.split(f"### {type}\n")[1].split("\n\n")[0]
        listed = re.findall(r"^\| `(\w+)` \| (.*) \|$", section, re.MULTILINE)
        assert listed == [(name, option.meaning) for name, option in OPTIONS[type].items()]
    fields = docs.split("## Subject and body\n")[1].split("\n## ")[0]
    listed = re.findall(r"^\| `\{(\w+)\}` \| (.*) \|$", fields, re.MULTILINE)
    assert listed == list(FIELDS.items())
