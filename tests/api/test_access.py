"""Who gets in: keys, sessions, roles, and what keeps everybody else out."""

import logging
import threading
import time
from collections.abc import Iterator
from datetime import timedelta

import httpx
import psycopg2
import pytest
from fastapi.routing import iter_route_contexts

from api.app import create_app
from api.guard import COOKIE, Trust
from api.roles import NEEDED
from api.routes import Parts
from projections.access import SCHEMA, AccessKeys, Role
from projections.errors import ViewMismatch
from projections.queries import SightingQueries
from tests.api.conftest import served
from tests.api.watched import whole
from tests.api.world import SHOWN, World
from tests.projections.sightings import event_id, sighting

QUICK = Trust(fresh=0.05, stream=0.1, failures=1000)
PAGE = {"accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
HOUR = timedelta(hours=1)


@pytest.fixture(scope="module")
def locked(queries: SightingQueries, world: World, keys: AccessKeys) -> Iterator[str]:
    """Where an API listens that asks for keys."""
    with served(queries, world.pictures, keys=keys, trust=QUICK, **whole(world.url)) as address:
        yield address


@pytest.fixture(scope="module")
def reader(keys: AccessKeys) -> str:
    return keys.create("reader", Role.VIEWER, HOUR)[1]


def ask(address: str, path: str = "/stats", **headers: str) -> httpx.Response:
    return httpx.get(
        f"{address}{path}", headers={k.replace("_", "-"): v for k, v in headers.items()}
    )


def bearer(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


def log_in(client: httpx.Client, key: str, **headers: str) -> httpx.Response:
    return client.post("/login", data={"key": key}, headers=headers)


def execute(url: str, statement: str, *values: object) -> None:
    connection = psycopg2.connect(url)
    with connection, connection.cursor() as cursor:
        cursor.execute(statement, values)
    connection.close()


# --- what is open, and what is not


def routes(queries: SightingQueries, world: World, keys: AccessKeys | None) -> set[str]:
    app = create_app(queries, world.pictures, Parts(**whole(world.url)), keys=keys)
    found: set[str] = set()
    for route in iter_route_contexts(app.routes):
        assert route.methods, f"{route.path} is no route that the guard can see"
        found |= {f"{method} {route.path}" for method in route.methods}
    return found


def test_every_route_declares_the_role_it_needs_and_none_that_is_gone_is_declared(
    queries: SightingQueries, world: World, keys: AccessKeys
):
    assert routes(queries, world, keys) == set(NEEDED) == routes(queries, world, None)


@pytest.mark.parametrize("name", sorted(name for name, role in NEEDED.items() if role))
def test_nothing_with_data_answers_without_a_key(locked: str, name: str):
    method, path = name.split()
    session = {"cookie": f"{COOKIE}=wrong", "sec-fetch-site": "same-origin"}
    for header in ({}, bearer("alpr_wrong"), session):
        answer = httpx.request(method, f"{locked}{path}", headers=header)
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"].startswith('Bearer realm="alpr"')
        assert set(answer.json()) == {"error", "detail"}


def test_a_route_that_declares_nothing_is_refused_even_to_an_administrator(
    queries: SightingQueries, world: World, keys: AccessKeys, monkeypatch: pytest.MonkeyPatch
):
    without = {name: role for name, role in NEEDED.items() if name != "GET /stats"}
    monkeypatch.setattr("api.app.NEEDED", without)
    _, admin = keys.create("admin", Role.ADMIN, HOUR)
    with served(queries, world.pictures, keys=keys) as address:
        answer = httpx.get(f"{address}/stats", headers=bearer(admin))
    assert answer.status_code == 403
    assert "says of no role" in answer.json()["detail"]


@pytest.mark.parametrize("path", ["/health", "/static/app.css", "/login"])
def test_health_and_the_login_page_need_no_key(locked: str, path: str):
    assert ask(locked, path).status_code == 200


def test_an_api_without_keys_answers_everybody_and_has_nothing_to_log_in_to(address: str):
    assert ask(address).status_code == 200
    for method in ("GET", "POST"):
        answer = httpx.request(method, f"{address}/login")
        assert (answer.status_code, answer.headers["location"]) == (303, "/")


def test_without_the_database_nobody_gets_in(queries: SightingQueries, world: World, reader: str):
    away = AccessKeys("postgresql://someone:secret@127.0.0.1:1/alpr")
    with served(queries, world.pictures, keys=away) as address:
        for answer in (
            ask(address, **bearer(reader)),
            ask(address, cookie=f"{COOKIE}={'a' * 52}"),
            ask(address, "/", **PAGE, **bearer(reader)),
            httpx.post(f"{address}/login", data={"key": reader}),
        ):
            assert answer.status_code == 503
            assert "secret" not in answer.text
        assert ask(address).status_code == 401


# --- keys


def test_a_key_is_given_as_a_bearer_or_in_a_header_of_its_own(locked: str, reader: str):
    assert ask(locked, authorization=f"Bearer {reader}").status_code == 200
    assert ask(locked, authorization=f"bearer  {reader}").status_code == 200
    assert ask(locked, x_api_key=reader).status_code == 200
    # A proxy's own password is not ours to judge.
    assert ask(locked, authorization="Basic YTpi", x_api_key=reader).status_code == 200


def test_a_key_in_the_address_is_not_taken(locked: str, reader: str):
    assert ask(locked, f"/stats?key={reader}&token={reader}&api_key={reader}").status_code == 401


@pytest.mark.parametrize(
    "change",
    [
        lambda key: key[:-1] + ("a" if key[-1] != "a" else "b"),
        lambda key: key[:-1],
        lambda key: key + "a",
        lambda key: key.upper(),
        lambda key: key[:14] + "a" * 52,
        lambda key: "alpr_" + "a" * 8 + key[13:],
        lambda key: key + "\xff",
        lambda key: "' OR 1=1 --",
    ],
)
def test_a_key_with_any_letter_wrong_is_refused(locked: str, reader: str, change):
    headers = {b"authorization": b"Bearer " + change(reader).encode("latin-1")}
    answer = httpx.get(f"{locked}/stats", headers=headers)
    assert answer.status_code == 401
    assert 'error="invalid_token"' in answer.headers["www-authenticate"]
    assert reader[14:] not in answer.text


def test_an_expired_key_stops_by_itself(locked: str, keys: AccessKeys):
    key, text = keys.create("brief", Role.VIEWER, timedelta(seconds=0.4))
    assert ask(locked, **bearer(text)).status_code == 200
    time.sleep(0.5)
    assert ask(locked, **bearer(text)).status_code == 401
    assert next(k for k in keys.all() if k.key_id == key.key_id).state == "expired"


def test_a_revoked_key_stops_at_once_with_its_sessions(locked: str, keys: AccessKeys):
    key, text = keys.create("leaver", Role.VIEWER, HOUR)
    with httpx.Client(base_url=locked) as client:
        assert log_in(client, text).status_code == 303
        assert client.get("/stats").status_code == 200
        assert keys.revoke(key.key_id)
        time.sleep(QUICK.fresh)
        assert client.get("/stats").status_code == 401
    assert ask(locked, **bearer(text)).status_code == 401
    assert keys.by_key(text) is None


def test_a_stream_ends_soon_after_its_key_does(locked: str, keys: AccessKeys):
    for path in ("/events/stream", "/live"):
        key, text = keys.create("watcher", Role.VIEWER, HOUR)
        with httpx.stream("GET", f"{locked}{path}", headers=bearer(text), timeout=10) as answer:
            lines = answer.iter_lines()
            assert next(lines).startswith("retry")
            keys.revoke(key.key_id)
            begun = time.monotonic()
            assert list(lines) == [""], "the stream ends as a whole answer"
            assert time.monotonic() - begun < 3
        assert ask(locked, path, **bearer(text)).status_code == 401


def test_a_stream_goes_on_while_its_key_is_good(locked: str, world: World, reader: str):
    with httpx.stream(
        "GET", f"{locked}/events/stream", headers=bearer(reader), timeout=10
    ) as answer:
        lines = answer.iter_lines()
        next(lines)
        time.sleep(3 * QUICK.stream)
        world.write([sighting(900)])
        assert any(event_id(900) in line for line in lines)


@pytest.mark.parametrize("needed", ["viewer", "operator", "investigator", "admin", "ingest"])
def test_a_role_covers_itself_and_those_below(
    queries: SightingQueries,
    world: World,
    keys: AccessKeys,
    monkeypatch: pytest.MonkeyPatch,
    needed: str,
):
    people = ["viewer", "operator", "investigator", "admin"]
    enough = {role: people[at:] for at, role in enumerate(people)}
    enough["ingest"] = ["ingest", "operator", "investigator", "admin"]
    monkeypatch.setattr("api.app.NEEDED", {**NEEDED, "GET /stats": Role(needed)})
    with served(queries, world.pictures, keys=keys) as address:
        for role in (*people, "ingest"):
            _, key = keys.create("somebody", Role(role), HOUR)
            answer = ask(address, **bearer(key))
            if role in enough[needed]:
                assert answer.status_code == 200
                continue
            page = ask(address, **PAGE, **bearer(key))
            assert answer.status_code == page.status_code == 403
            assert f"role {role}, and {needed} is needed" in answer.json()["detail"]
            assert "Not for this key" in page.text


def test_of_a_key_only_a_hash_is_kept(postgres_url: str, keys: AccessKeys):
    key, text = keys.create("kept", Role.VIEWER, HOUR)
    session = keys.open_session(key.key_id)
    secret = text.rpartition("_")[2]
    assert len(secret) * 5 >= 256
    connection = psycopg2.connect(postgres_url)
    with connection.cursor() as cursor:
        for table in ("keys", "sessions", "links"):
            cursor.execute(f"SELECT row_to_json(t)::text FROM {SCHEMA}.{table} AS t")
            for (row,) in cursor.fetchall():
                for shown in (secret, secret.encode().hex(), session, session.encode().hex()):
                    assert shown not in row
    connection.close()
    assert secret not in repr(keys.all())


def test_use_is_noted_but_not_written_for_each_request(keys: AccessKeys):
    key, text = keys.create("used", Role.VIEWER, None)
    assert (key.last_used_at, key.expires_at) == (None, None)
    noted = {key.last_used_at for key in (keys.by_key(text), keys.by_key(text)) if key}
    first = next(k for k in keys.all() if k.key_id == key.key_id).last_used_at
    assert first is not None
    assert noted <= {None, first}


def test_two_processes_may_make_the_schema_at_once_and_know_each_others_keys(postgres_url: str):
    several = [AccessKeys(postgres_url, "alpr_access_two") for _ in range(4)]
    made: list[str] = []
    threads = [
        threading.Thread(target=lambda k=k: made.append(k.create("x", Role.VIEWER, HOUR)[1]))
        for k in several
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 4
    assert all(each.by_key(text) for each in several for text in made)
    for each in several:
        each.close()


def test_a_program_older_than_its_keys_says_so_and_lets_nobody_in(postgres_url: str):
    older = AccessKeys(postgres_url, "alpr_access_newer")
    _, text = older.create("x", Role.VIEWER, HOUR)
    older.close()
    execute(postgres_url, "INSERT INTO alpr_access_newer.versions VALUES (99)")
    with pytest.raises(ViewMismatch, match=r"version 99.*run the newer program"):
        older.by_key(text)


# --- wrong keys cost little


def test_too_many_different_wrong_keys_hold_an_address_off_but_not_who_was_right(
    queries: SightingQueries, world: World, keys: AccessKeys, reader: str
):
    trust = Trust(fresh=0.0, failures=3, wrong=60)
    _, other = keys.create("other", Role.VIEWER, HOUR)
    wrong = ["alpr_" + letter * 8 + "_" + letter * 52 for letter in "abcde"]
    with served(queries, world.pictures, keys=keys, trust=trust) as address:
        assert ask(address, **bearer(reader)).status_code == 200
        # The same wrong key again is a mistake, no search.
        assert {ask(address, **bearer(wrong[0])).status_code for _ in range(10)} == {401}
        assert [ask(address, **bearer(key)).status_code for key in wrong[1:3]] == [401, 401]
        held = ask(address, **bearer(wrong[3]))
        assert held.status_code == 429
        assert 0 < int(held.headers["retry-after"]) <= 60
        assert ask(address, **bearer(other)).status_code == 429
        assert (
            "too many wrong keys"
            in httpx.post(f"{address}/login", data={"key": other}).text.lower()
        )
        assert ask(address, **bearer(reader)).status_code == 200


def test_nobody_is_told_in_the_log_what_a_key_is(
    locked: str, keys: AccessKeys, caplog: pytest.LogCaptureFixture
):
    caplog.set_level(logging.DEBUG)
    _, text = keys.create("logged", Role.VIEWER, HOUR)
    with httpx.Client(base_url=locked) as client:
        log_in(client, text)
        token = client.cookies[COOKIE]
        client.get("/stats")
    ask(locked, **bearer(text[:-1] + "x"))
    # The client of this test is another program, with a log of its own.
    told = [r.getMessage() for r in caplog.records if not r.name.startswith("http")]
    assert any("logged (key" in line for line in told)
    for line in told:
        assert text[14:40] not in line
        assert token not in line


# --- browsers


def test_a_browser_is_led_to_the_login_page_and_back(locked: str, reader: str):
    with httpx.Client(base_url=locked, headers=PAGE) as client:
        sent = client.get("/?camera=CAM-002&retracted=1")
        assert sent.status_code == 303
        assert sent.headers["location"] == "/login?next=%2F%3Fcamera%3DCAM-002%26retracted%3D1"
        form = client.get(sent.headers["location"])
        assert 'value="/?camera=CAM-002&amp;retracted=1"' in form.text
        data = {"key": reader, "next": "/?camera=CAM-002&retracted=1"}
        sent = client.post("/login", data=data, headers={"origin": locked})
        assert sent.headers["location"] == data["next"]
        assert client.get(data["next"]).status_code == 200
        assert "Log out" in client.get(f"/sightings/{event_id(SHOWN)}").text


@pytest.mark.parametrize(
    "next",
    [
        "https://evil.example/",
        "//evil.example",
        "/\\evil.example",
        "\\\\evil.example",
        "/\t/evil.example",
        "javascript:alert(1)",
        "evil.example",
        "/\r\nSet-Cookie: a=b",
        "",
    ],
)
def test_after_the_login_one_is_led_nowhere_else(locked: str, reader: str, next: str):
    answer = httpx.post(f"{locked}/login", data={"key": reader, "next": next})
    assert answer.headers["location"] == "/"
    form = httpx.get(f"{locked}/login", params={"next": next})
    assert 'name="next" value="/"' in form.text


def test_the_cookie_is_the_browsers_alone_and_ends(locked: str, reader: str):
    with httpx.Client(base_url=locked) as client:
        told = log_in(client, reader).headers["set-cookie"].lower()
        assert "httponly" in told
        assert "samesite=lax" in told
        assert "max-age=43200" in told
        assert "path=/" in told
        assert "domain" not in told
        assert "secure" not in told, "a browser would not send it back over http"
        assert reader not in told
    host = locked.removeprefix("http://")
    https = httpx.post(
        f"{locked}/login", data={"key": reader}, headers={"origin": f"https://{host}"}
    )
    assert "secure" in https.headers["set-cookie"].lower()


def test_a_session_ends_when_its_time_is_over(locked: str, keys: AccessKeys, postgres_url: str):
    _, text = keys.create("sleepy", Role.VIEWER, HOUR)
    with httpx.Client(base_url=locked) as client:
        log_in(client, text)
        assert client.get("/stats").status_code == 200
        execute(
            postgres_url,
            f"UPDATE {SCHEMA}.sessions SET expires_at = now() WHERE key_id = %s",
            text[5:13],
        )
        time.sleep(QUICK.fresh)
        over = client.get("/stats")
    assert over.status_code == 401
    assert "session is over" in over.json()["detail"]


def test_a_session_never_outlives_its_key(keys: AccessKeys, postgres_url: str):
    key, _ = keys.create("brief", Role.VIEWER, timedelta(seconds=0.2))
    token = keys.open_session(key.key_id)
    assert keys.by_session(token)
    time.sleep(0.3)
    assert keys.by_session(token) is None


def test_logging_out_ends_the_session_on_the_server_too(locked: str, reader: str):
    with httpx.Client(base_url=locked) as client:
        log_in(client, reader)
        token = client.cookies[COOKIE]
        out = client.post("/logout", headers={"origin": locked})
        assert out.headers["location"] == "/login"
        assert COOKIE not in client.cookies
    assert ask(locked, cookie=f"{COOKIE}={token}").status_code == 401


def test_a_second_login_ends_the_session_before_it(locked: str, reader: str):
    with httpx.Client(base_url=locked) as client:
        log_in(client, reader)
        before = client.cookies[COOKIE]
        log_in(client, reader, origin=locked)
        assert client.cookies[COOKIE] != before
        assert client.get("/stats").status_code == 200
    assert ask(locked, cookie=f"{COOKIE}={before}").status_code == 401


@pytest.mark.parametrize(
    "headers",
    [
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"origin": "https://evil.example"},
        {"origin": "http://127.0.0.1:1"},
        {"origin": "null"},
        {},  # with a cookie, from a browser that says nothing
    ],
)
def test_a_page_of_elsewhere_can_neither_log_one_in_nor_out(
    locked: str, reader: str, headers: dict[str, str]
):
    with httpx.Client(base_url=locked) as client:
        log_in(client, reader)
        for path in ("/logout", "/login"):
            answer = client.post(path, headers=headers, data={"key": reader})
            assert answer.status_code == 403
            assert "page of another address" in answer.json()["detail"]
        assert client.get("/stats").status_code == 200


def test_a_form_that_is_no_form_is_told_and_one_too_long_is_not_read(locked: str):
    for body in (b"key=" + b"a" * 5000, b"key=%ff\xff", b"&".join([b"a=b"] * 9)):
        answer = httpx.post(f"{locked}/login", content=body)
        assert answer.status_code in (401, 413, 422)
    assert httpx.post(f"{locked}/login", content=b"").status_code == 401


# --- the first administrator


@pytest.fixture
def fresh(postgres_url: str) -> Iterator[AccessKeys]:
    """The keys of a database that has none yet."""
    made = AccessKeys(postgres_url, f"alpr_access_{time.monotonic_ns()}")
    yield made
    made.close()


def test_the_first_link_makes_the_first_administrators_key_once(
    queries: SightingQueries, world: World, fresh: AccessKeys
):
    link, another = fresh.first_link(), fresh.first_link()
    assert link
    assert another
    assert link != another
    with served(queries, world.pictures, keys=fresh) as address:
        with httpx.Client(base_url=address) as client:
            page = log_in(client, link)
            assert page.status_code == 200
            assert page.headers["cache-control"] == "no-store"
            assert client.get("/stats").status_code == 200
            key = page.text.split('id="made"')[1].split(">")[1].split("<")[0]
        assert ask(address, **bearer(key)).status_code == 200
        for void in (link, another):
            assert "used before" in httpx.post(f"{address}/login", data={"key": void}).text
    [made] = fresh.all()
    assert (made.role, made.name) == (Role.ADMIN, "first administrator")
    assert fresh.first_link() is None


def test_a_link_is_no_key(queries: SightingQueries, world: World, fresh: AccessKeys):
    link = fresh.first_link()
    assert link
    with served(queries, world.pictures, keys=fresh) as address:
        assert ask(address, **bearer(link)).status_code == 401
        assert ask(address, f"/login?token={link}").status_code == 200
    assert fresh.all() == []


def test_of_two_who_use_two_links_at_once_one_becomes_the_administrator(fresh: AccessKeys):
    links = [fresh.first_link() or "" for _ in range(6)]
    threads = [threading.Thread(target=fresh.redeem, args=(link,)) for link in links]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(fresh.all()) == 1


def test_an_old_link_is_void_and_so_is_every_link_once_a_key_is_made_by_hand(
    fresh: AccessKeys, postgres_url: str
):
    old = fresh.first_link()
    assert old
    execute(postgres_url, f"UPDATE {fresh.schema}.links SET expires_at = now()")
    assert fresh.redeem(old) is None
    link = fresh.first_link()
    assert link
    fresh.create("by hand", Role.VIEWER, HOUR)
    assert fresh.first_link(), "a reader's key makes no administrator"
    fresh.create("by hand", Role.ADMIN, HOUR)
    assert fresh.redeem(link) is None
    assert fresh.first_link() is None


def test_a_process_that_starts_for_ever_leaves_few_links(fresh: AccessKeys, postgres_url: str):
    links = [fresh.first_link() for _ in range(30)]
    connection = psycopg2.connect(postgres_url)
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT count(*) FROM {fresh.schema}.links")
        assert cursor.fetchone() == (8,)
    connection.close()
    assert links[-1]
    assert fresh.redeem(links[-1])


# --- names and heads


def test_beyond_loopback_numbers_and_named_hosts_are_answered_and_no_other_name(
    queries: SightingQueries, world: World, keys: AccessKeys, reader: str
):
    with served(queries, world.pictures, keys=keys, hosts=["gate.example"]) as address:
        told = {
            host: ask(address, host=host, **bearer(reader)).status_code
            for host in ("GATE.example:8000", "10.1.2.3:8000", "[fd00::1]", "evil.example", "1.2.3")
        }
    assert list(told.values()) == [200, 200, 200, 421, 421]


def test_who_forwards_is_not_believed_unless_named(
    queries: SightingQueries, world: World, keys: AccessKeys, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("FORWARDED_ALLOW_IPS", "*")
    trust = Trust(failures=1)
    wrong = ["alpr_" + letter * 8 + "_" + letter * 52 for letter in "abc"]
    with served(queries, world.pictures, keys=keys, trust=trust) as address:
        told = [
            ask(address, x_forwarded_for=f"10.0.0.{n}", **bearer(key)).status_code
            for n, key in enumerate(wrong)
        ]
    assert told == [401, 429, 429]


@pytest.mark.parametrize("path", ["/", "/stats", "/health", "/events/recent", "/docs", "/nothing"])
def test_head_is_get_without_its_body(locked: str, reader: str, path: str):
    for headers in ({**bearer(reader)}, {**bearer(reader), **PAGE}, {}):
        got = httpx.get(f"{locked}{path}", headers=headers)
        head = httpx.head(f"{locked}{path}", headers=headers)
        assert (head.status_code, head.content) == (got.status_code, b"")
        assert head.headers["content-type"] == got.headers["content-type"] or path == "/stats"


def test_the_head_of_a_stream_ends(locked: str, reader: str):
    for path in ("/events/stream", "/live"):
        head = httpx.head(f"{locked}{path}", headers=bearer(reader), timeout=5)
        assert head.status_code == 200
        assert head.headers["content-type"].startswith("text/event-stream")


def test_what_a_method_may_be_is_told_with_a_405(locked: str):
    answer = httpx.put(f"{locked}/logout")
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
    assert "use POST" in answer.json()["detail"]


def test_openapi_and_the_reference_say_how_a_key_is_given(locked: str, reader: str, address: str):
    told = ask(locked, "/openapi.json", **bearer(reader)).json()
    assert set(told["components"]["securitySchemes"]) == {"bearer", "header", "session"}
    assert {"bearer": []} in told["security"]
    assert "401" in told["paths"]["/stats"]["get"]["responses"]
    assert "Authorization: Bearer" in ask(locked, "/docs", **bearer(reader)).text
    assert "security" not in ask(address, "/openapi.json").json()
    assert "Bearer" not in ask(address, "/docs").text


def test_named_origins_may_send_a_key(
    queries: SightingQueries, world: World, keys: AccessKeys, reader: str
):
    origin = "https://gate.example"
    with served(queries, world.pictures, keys=keys, cors_origins=[origin]) as address:
        asked = {
            "origin": origin,
            "access-control-request-method": "GET",
            "access-control-request-headers": "authorization",
        }
        before = httpx.options(f"{address}/stats", headers=asked)
        answer = ask(address, origin=origin, **bearer(reader))
    assert before.status_code == 200
    assert "authorization" in before.headers["access-control-allow-headers"].lower()
    assert "access-control-allow-credentials" not in before.headers
    assert answer.headers["access-control-allow-origin"] == origin
