"""No password of a setting is printed: not by a command, not by an error, however it is written."""

import contextlib
import io
from collections.abc import Callable

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from psycopg2.extensions import make_dsn

from alpr.cli import main, told
from alpr.commands import doctor
from alpr.errors import ConfigError
from alpr.settings import load, names
from eventlog.address import check_database, check_http, masked
from projections.database import connect
from projections.errors import ViewError

# Halves of a password: a sign between them may end it for one reader and not for another.
A, B = "GEHEIM", "VERBORGEN"
ACCOUNTS = [
    f"u:{A}{B}",
    f"alpr@corp:{A}{B}",
    f"us/er:{A}{B}",
    f"a#b:{A}{B}",
    f"a?b:{A}{B}",
    f"u%3A{A}{B}",
    *(f"u:{A}{sign}{B}" for sign in ("@", "/", "?", "#", ":", "%zz", "%", "://", "@x/", "[", "\\")),
    *(
        f"u:{A}{sign}{B}"
        for sign in (" ", "&", "=", "'", ";", "\u2100", "%00", "[x]", "@/a?", "&a=")
    ),
]
PLACES = ["@127.0.0.1:1/alpr-plate-images", "@127.0.0.1:xx/d", "@h", "@/d", "@:1", "@[::1/d"]
SCHEMES = {
    "ALPR_LOG_URL": ["kafka", "kafka+tls", "sqlite"],
    "ALPR_REGISTRY_URL": ["http"],
    "ALPR_DATABASE_URL": ["postgresql", "mysql"],
    "ALPR_SEARCH_URL": ["http", "https"],
    "ALPR_IMAGES_URL": ["s3+http", "s3", "ftp"],
    "KAFKA_BOOTSTRAP_SERVERS": [""],
    "SCHEMA_REGISTRY_URL": ["http"],
}
OPTIONS = [
    f"postgresql://u@127.0.0.1:1/d?password={A}{B}",
    f"postgresql://u@127.0.0.1:1/d?sslmode=disable&PASSWORD={A}{B}",
    f"postgresql://u@127.0.0.1:1/d?pass%77ord={A}{B}",
    f"postgresql://u@127.0.0.1:1/d?sslpassword={A}{B}&sslmode=disable",
    f"postgresql://u@127.0.0.1:1/d?password={A}@{B}",
    f"postgresql://u@127.0.0.1:1/d?password={A}&{B}",
    f"postgresql://u@127.0.0.1:1/d?password={A} {B}",
    f"host=127.0.0.1 port=1 password={A}{B} dbname=d",
    f"host=127.0.0.1 port=1 password='{A} x={B}' dbname=d",
    f"host=127.0.0.1 port=1 password = {A}@{B}",
    f"host=x:1 password={A}@{B}",
]


def urls() -> list[tuple[str, str]]:
    made = [
        (name, f"{scheme}://{account}{place}" if scheme else account + place)
        for name, schemes in SCHEMES.items()
        for scheme in schemes
        for account in ACCOUNTS
        for place in PLACES
    ]
    made += [(name, f"{scheme[0]}://u:{A}{B}") for name, scheme in SCHEMES.items() if scheme[0]]
    return made + [("ALPR_DATABASE_URL", text) for text in OPTIONS]


def said(name: str, url: str) -> str:
    """What ``load`` refuses with, or what the settings show."""
    environ = {name: url}
    if name in ("ALPR_LOG_URL", "KAFKA_BOOTSTRAP_SERVERS"):
        environ["ALPR_REGISTRY_URL"] = "http://127.0.0.1:1"
    try:
        settings = load(environ, None)
    except ConfigError as error:
        return str(error)
    places = [check.where for check in doctor.checks(settings)]
    return f"{settings!r} {settings} {settings.shown()} {places}"


def hidden(text: str) -> bool:
    return A not in text and B not in text


@pytest.mark.parametrize("name", [*SCHEMES])
def test_settings_show_no_password_and_refuse_none_by_repeating_it(name: str):
    shown = {url: said(name, url) for of, url in urls() if of == name}
    assert not {url: text for url, text in shown.items() if not hidden(text)}


@pytest.mark.parametrize("command", [["settings"], ["keys", "list"], ["doctor"]])
@pytest.mark.parametrize(
    "url",
    [f"postgresql://{account}{PLACES[0]}" for account in ACCOUNTS]
    + [f"postgresql://u:{A}{B}@127.0.0.1:xx/d", *OPTIONS],
)
def test_no_command_prints_a_database_password(
    command: list[str], url: str, tmp_path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ALPR_DATABASE_URL", url)
    text = io.StringIO()
    with contextlib.redirect_stdout(text), contextlib.redirect_stderr(text):
        code = main([*command, "--debug"])
    assert hidden(text.getvalue())
    assert command == ["settings"] or code in (1, 2)


@pytest.mark.parametrize(
    "url",
    [f"postgresql://{account}{place}" for account in ACCOUNTS for place in PLACES[:2]]
    + OPTIONS
    + [make_dsn(host="127.0.0.1", port=1, password=f"{A} '{B}", dbname="d")],
)
def test_the_view_names_a_database_without_its_password(url: str):
    with pytest.raises(ViewError) as caught:
        connect(url, "alpr")
    assert hidden(str(caught.value))


@pytest.mark.parametrize(
    ("name", "value", "cure"),
    [
        ("ALPR_SEARCH_URL", f"http://u:{A}#{B}@h", "write them as %2F"),
        ("ALPR_SEARCH_URL", f"http://u:{A}@h:xx", "no number from 1 to 65535"),
        ("ALPR_REGISTRY_URL", f"http://u:{A}@h:xx", "no number from 1 to 65535"),
        ("ALPR_REGISTRY_URL", "http://:8081", "names no host"),
        ("ALPR_DATABASE_URL", f"postgresql://u:{A}%zz@h/d", "write % as %25"),
        ("ALPR_DATABASE_URL", f"postgresql://u@srv:{A}@h/d", "write them as %2F"),
    ],
)
def test_what_a_server_could_misread_is_a_settings_error(name: str, value: str, cure: str):
    with pytest.raises(ConfigError, match=cure) as caught:
        load({name: value}, None)
    assert caught.value.exit_code == 2
    assert str(caught.value).startswith(f"{name}=")


@pytest.mark.parametrize(
    "url",
    [
        "postgresql:///d?host=/run/postgresql",
        "postgresql://u@/d?host=%2Ftmp",
        "postgresql://u%40srv:p%2F%40@one:1,[::1]:2,three/d?sslmode=verify-full",
        "postgres://h",
    ],
)
def test_what_libpq_can_read_is_taken(url: str):
    check_database(url)


@pytest.mark.parametrize("url", ["http://h", "https://u:p%40@[::1]:9200/x?ca=/a.pem", "http://h:/"])
def test_what_http_can_reach_is_taken(url: str):
    check_http(url)


SIGNS = st.text(st.sampled_from("ab:/?#@&=% '[];\\"), max_size=8)
SHAPES: list[Callable[[str, str], str]] = [
    lambda user, password: f"postgresql://{user}:{password}@h:1/d",
    lambda user, password: f"{user}:{password}@h:1",
    lambda user, password: f"no answer from http://{user}:{password}@h:1: refused",
    lambda user, password: f"postgresql://u@h:1/d?password={password}",
    lambda user, password: f"postgresql://u@h/d?sslmode=x&sslPassword={password}@",
]


@given(SIGNS, SIGNS, SIGNS.filter(lambda text: "=" not in text), st.sampled_from(SHAPES))
@example("a@b", "", "", SHAPES[0])
def test_masking_hides_every_part_of_a_password(
    user: str, before: str, between: str, shape: Callable[[str, str], str]
):
    before = before.replace("=", "").replace("'", "")
    shown = masked(shape(user.replace("=", ""), before + A + between + B))
    assert hidden(shown)
    assert masked(shown) == masked(masked(shown))


@given(st.text(st.characters(exclude_characters="@=:", exclude_categories=["Cs"])))
def test_masking_leaves_a_text_without_secrets_as_it_is(text: str):
    assert masked(text) == text


def test_masking_keeps_what_is_no_secret():
    assert masked("postgresql://a@srv:x@h:1/d?sslmode=require&password=x&user=u") == (
        "postgresql://a@srv:***@h:1/d?sslmode=require&password=***&user=u"
    )
    assert masked("kafka+tls://h:1,[::1]:2?ca=/ca.pem&cert=/c.pem") == (
        "kafka+tls://h:1,[::1]:2?ca=/ca.pem&cert=/c.pem"
    )
    assert masked("http://h:1: no answer") == "http://h:1: no answer"


def test_an_error_that_nobody_foresaw_is_told_without_passwords():
    error = RuntimeError(f"no route to http://u:{A}@{B}@h:1")
    assert hidden(told("doctor", error))


def test_the_names_tried_are_names_of_settings():
    assert {name for name in SCHEMES if name.startswith("ALPR_")} <= set(names())
