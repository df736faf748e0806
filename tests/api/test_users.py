"""People who log in by name and password; tokens; how often somebody may ask, and guess."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from itertools import count
from typing import Any

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm

from api.errors import TooMany
from api.guard import COOKIE, Trust
from api.limits import Limits
from api.tokens import TokenError, Tokens
from projections.access import AccessKeys, Role
from projections.passwords import Passwords, weakness
from projections.queries import SightingQueries
from tests.api.conftest import served
from tests.api.world import World

QUICK = Trust(fresh=0.05, stream=0.1, failures=1000, names=1000)
CHEAP = Passwords(passes=1, kib=64)
SECRET = b"a secret of this test, 32 bytes long"
PASSWORD = "four words with spaces"
PAGE = {"accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
_numbers = count()


@pytest.fixture(scope="module")
def locked(queries: SightingQueries, world: World, keys: AccessKeys) -> Iterator[str]:
    options: dict[str, Any] = {"tokens": Tokens(SECRET), "passwords": CHEAP, "trust": QUICK}
    with served(queries, world.pictures, keys=keys, **options) as address:
        yield address


Add = Callable[..., str]


@pytest.fixture
def add(keys: AccessKeys) -> Add:
    """Makes a user; the name."""

    def made(role: Role = Role.VIEWER, password: str = PASSWORD, **how: Any) -> str:
        name = f"anna{next(_numbers)}"
        assert keys.users.add(name, role, CHEAP.hash(password), **how)
        return name

    return made


def log_in(client: httpx.Client, name: str, password: str = PASSWORD) -> httpx.Response:
    origin = str(client.base_url).rstrip("/")
    return client.post("/login", data={"name": name, "key": password}, headers={"origin": origin})


def token(address: str, name: str, password: str = PASSWORD, **more: str) -> httpx.Response:
    form = {"grant_type": "password", "username": name, "password": password, **more}
    return httpx.post(f"{address}/token", data=form)


def bearer(text: str) -> dict[str, str]:
    return {"authorization": f"Bearer {text}"}


# --- names and passwords


def test_a_user_logs_in_by_name_in_any_case_and_password(locked: str, add: Add):
    name = add()
    with httpx.Client(base_url=locked) as client:
        assert log_in(client, f" {name.upper()} ").status_code == 303
        assert client.get("/stats").status_code == 200
        assert "Log out" in client.get("/docs", headers=PAGE).text


@pytest.mark.parametrize("name", ["nobody", "", "x' OR 1=1 --", "a" * 5000])
def test_an_unknown_name_is_told_as_a_wrong_password_is(locked: str, add: Add, name: str):
    known = httpx.post(f"{locked}/login", data={"name": add(), "key": "wrong"})
    other = httpx.post(f"{locked}/login", data={"name": name, "key": "wrong"})
    assert known.status_code == 401
    assert "do not go together" in known.text
    if 0 < len(name) < 4000:
        assert other.status_code == 401
        assert "do not go together" in other.text
    else:
        assert other.status_code in {401, 413}


def test_an_unknown_name_takes_as_long_as_a_wrong_password():
    hashed, real = Passwords().hash(PASSWORD), Passwords()
    real.matches(None, "warm")

    def quickest(given: str | None) -> float:
        took = []
        for _ in range(5):
            began = time.perf_counter()
            assert not real.matches(given, "wrong")
            took.append(time.perf_counter() - began)
        return min(took)

    assert 0.2 < quickest(None) / quickest(hashed) < 5, "without a check it would be a thousandth"


def test_the_hash_is_argon2id_by_owasps_parameters_and_of_another_salt_each_time():
    one, two = Passwords().hash(PASSWORD), Passwords().hash(PASSWORD)
    assert one.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert one != two


def test_a_hash_of_older_parameters_is_made_anew_at_the_next_login(
    locked: str, keys: AccessKeys, add: Add
):
    name = add()
    older = Passwords(passes=2, kib=32).hash(PASSWORD)
    keys.users.set_password(name, older)
    with httpx.Client(base_url=locked) as client:
        assert log_in(client, name).status_code == 303
        found = keys.users.credentials(name)
        assert found
        assert found[1] != older
        assert not CHEAP.outdated(found[1])
        assert log_in(client, name).status_code == 303


@pytest.mark.parametrize(
    "password", ["short", "aaaaaaaaaaaaaaa", "anna12345678", "abababababab", "x" * 201]
)
def test_a_weak_password_is_refused_with_the_cure(password: str):
    assert weakness(password, "anna")
    assert weakness(PASSWORD, "anna") is None


def test_a_one_time_password_lets_one_do_nothing_but_set_another(
    locked: str, keys: AccessKeys, add: Add
):
    name = add(password="once-only-please", once=True)
    with httpx.Client(base_url=locked) as client:
        assert log_in(client, name, "once-only-please").status_code == 303
        refused = client.get("/stats")
        assert (refused.status_code, refused.json()["error"]) == (403, "password_change_needed")
        led = client.get("/?camera=CAM-001", headers=PAGE)
        assert led.headers["location"] == "/password?next=%2F%3Fcamera%3DCAM-001"
        assert "Set your own password" in client.get("/password").text
        form = {"before": "once-only-please", "new": PASSWORD, "again": PASSWORD}
        assert client.post("/password", data=form, headers={"origin": locked}).status_code == 200
        assert client.get("/stats").status_code == 200
    assert token(locked, name).status_code == 200
    expired = add(password="once-only-please", once=True)
    assert token(locked, expired, "once-only-please").json()["error"] == "invalid_grant"


def test_a_changed_password_ends_every_other_session_and_token(locked: str, add: Add):
    name = add()
    issued = token(locked, name).json()["access_token"]
    with httpx.Client(base_url=locked) as mine, httpx.Client(base_url=locked) as other:
        log_in(mine, name)
        log_in(other, name)
        wrong = {"before": "not it at all", "new": "another one of four", "again": ""}
        told = mine.post(
            "/password", data={**wrong, "again": wrong["new"]}, headers={"origin": locked}
        )
        assert (told.status_code, "not right" in told.json()["detail"]) == (422, True)
        form = {"before": PASSWORD, "new": "another one of four", "again": "another one of four"}
        assert mine.post("/password", data=form, headers={"origin": locked}).status_code == 200
        time.sleep(2 * QUICK.fresh)
        assert mine.get("/stats").status_code == 200
        assert other.get("/stats").status_code == 401
    assert httpx.get(f"{locked}/stats", headers=bearer(issued)).status_code == 401


def test_who_is_disabled_is_out_at_once_and_another_role_counts_at_once(
    locked: str, keys: AccessKeys, add: Add
):
    name = add(Role.ADMIN)
    issued = token(locked, name).json()["access_token"]
    with httpx.Client(base_url=locked) as client:
        log_in(client, name)
        assert client.get("/people").status_code == 200
        keys.users.change(name, Role.VIEWER, None, False)
        time.sleep(2 * QUICK.fresh)
        assert client.get("/people").status_code == 403
        assert httpx.get(f"{locked}/people", headers=bearer(issued)).status_code == 403
        assert client.get("/stats").status_code == 200
        keys.users.disable(name)
        time.sleep(2 * QUICK.fresh)
        assert client.get("/stats").status_code == 401
        assert httpx.get(f"{locked}/stats", headers=bearer(issued)).status_code == 401
        assert log_in(client, name).status_code == 401


def test_guesses_at_a_name_are_held_off_and_its_sessions_go_on(
    queries: SightingQueries, world: World, keys: AccessKeys, add: Add
):
    name, other, trust = add(), add(), Trust(fresh=0.0, names=3, failures=100)
    with (
        served(queries, world.pictures, keys=keys, trust=trust, passwords=CHEAP) as address,
        httpx.Client(base_url=address) as client,
    ):
        log_in(client, name)
        told = [
            httpx.post(f"{address}/login", data={"name": name, "key": "guess"}).status_code
            for _ in range(5)
        ]
        # From where they logged in before it is their own mistake, not somebody's search.
        assert told == [401] * 5
        told = [
            httpx.post(f"{address}/login", data={"name": other, "key": "guess"}).status_code
            for _ in range(5)
        ]
        assert told == [401, 401, 401, 429, 429]
        assert client.get("/stats").status_code == 200


class Slow(Passwords):
    """Checks that take as long as the test wants."""

    def __init__(self) -> None:
        super().__init__(passes=1, kib=64)
        self.done = threading.Event()

    def matches(self, hashed: str | None, text: str) -> bool:
        assert self.done.wait(60)
        return super().matches(hashed, text)


def test_a_flood_of_logins_holds_up_nobody_else(
    queries: SightingQueries, world: World, keys: AccessKeys, add: Add
):
    name, trust = add(), Trust(failures=1000, names=1000)
    slow = Slow()
    statuses: list[int] = []
    with served(queries, world.pictures, keys=keys, trust=trust, passwords=slow) as address:

        def guess() -> None:
            form = {"name": name, "key": "guess"}
            statuses.append(httpx.post(f"{address}/login", data=form, timeout=90).status_code)

        threads = [threading.Thread(target=guess) for _ in range(40)]
        for thread in threads:
            thread.start()
        until = time.monotonic() + 30
        while len(statuses) < 8 and time.monotonic() < until:
            time.sleep(0.05)
        assert statuses == [429] * 8, "those beyond the 32 that may wait are sent away"
        assert httpx.get(f"{address}/health", timeout=30).status_code == 200
        slow.done.set()
        for thread in threads:
            thread.join()
    assert sorted(statuses) == [401] * 32 + [429] * 8


def test_whether_plates_are_seen_in_clear_follows_the_role_unless_somebody_says_otherwise(
    locked: str, add: Add
):
    name, other = add(Role.ADMIN), add(Role.INVESTIGATOR)
    with httpx.Client(base_url=locked, headers=PAGE) as client:
        log_in(client, name)

        def clear(path: str, **body: object) -> bool:
            sent = {"accept": "application/json", "origin": locked}
            return client.post(path, json=body, headers=sent).json()["clear"]

        for role, seen in (("viewer", False), ("operator", False), ("investigator", True)):
            assert clear("/people/keys", name="k", role=role) == seen
            assert clear("/people/keys", name="k", role=role, clear=not seen) != seen
        path = f"/people/users/{other}"
        assert clear(path, role="investigator")
        form = {"role": "investigator", "clear": "off"}
        assert client.post(path, data=form, headers={"origin": locked}).status_code == 303
        assert "plates as pseudonyms" in client.get("/people").text


def test_the_page_of_people_shows_who_sees_plates_in_clear_and_grants_it_to_nobody_unasked(
    locked: str, add: Add
):
    name = add(Role.ADMIN)
    limited = add(Role.VIEWER, cameras=["CAM-001"])
    with httpx.Client(base_url=locked, headers=PAGE) as client:
        log_in(client, name)
        page = client.get("/people").text
        assert limited in page
        assert ", plates in clear;" not in page
        form = {"role": "operator", "cameras": "CAM-001"}
        path, headers = f"/people/users/{limited}", {"origin": locked}
        assert client.post(path, data=form, headers=headers).status_code == 303
        assert ", plates in clear;" not in client.get("/people").text
        client.post(path, data={**form, "clear": "on"}, headers=headers)
        assert ", plates in clear;" in client.get("/people").text


# --- pages of elsewhere


@pytest.mark.parametrize(
    "headers",
    [
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site", "origin": "https://evil.example"},
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"referer": "https://evil.example/page"},
        {"accept": "text/html"},  # a browser that says nothing of where it comes from
    ],
)
@pytest.mark.parametrize("path", ["/login", "/token", "/logout", "/password", "/people/users"])
def test_no_page_of_elsewhere_posts_anything_whatever_browser_it_is_in(
    locked: str, add: Add, headers: dict[str, str], path: str
):
    name = add(Role.ADMIN)
    form = {"name": name, "key": PASSWORD, "role": "admin"}
    with httpx.Client(base_url=locked) as client:
        assert client.post(path, data=form, headers=headers).status_code == 403
        log_in(client, name)
        assert client.post(path, data=form, headers=headers).status_code == 403
        assert client.post(path, data=form).status_code == 403, "nor one that sends neither header"
        assert client.get("/stats").status_code == 200


# --- tokens


KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
PEM = (
    KEY.public_key()
    .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    .decode()
)
GOOD: dict[str, Any] = {"sub": "gate", "role": "operator", "exp": 4_000_000_000}


def signed(claims: dict[str, Any], key: Any = SECRET, algorithm: str = "HS256", **head: Any) -> str:
    return jwt.encode(claims, key, algorithm=algorithm, headers=head or None)


def test_a_token_for_a_password_is_good_for_a_quarter_of_an_hour(locked: str, add: Add):
    name = add(Role.OPERATOR, cameras=["CAM-001"])
    answer = token(locked, name)
    told = answer.json()
    assert (told["token_type"], told["expires_in"]) == ("bearer", 900)
    assert answer.headers["cache-control"] == "no-store"
    claims = jwt.decode(told["access_token"], SECRET, algorithms=["HS256"])
    assert claims["exp"] - claims["iat"] == 900
    found = httpx.get(f"{locked}/stats", headers=bearer(told["access_token"])).json()
    assert found["active_cameras"] == 1
    assert token(locked, name, "wrong").json()["error"] == "invalid_grant"
    assert token(locked, name, grant_type="implicit").json()["error"] == "unsupported_grant_type"
    assert token(locked, name, "").status_code == 400


def test_tokens_of_others_are_taken_by_secret_by_public_key_and_by_jwks():
    jwk = json.loads(RSAAlgorithm.to_jwk(KEY.public_key())) | {"kid": "one", "use": "sig"}
    for keys, text in (
        (Tokens(SECRET), signed(GOOD)),
        (Tokens(public=PEM), signed(GOOD, KEY, "RS256")),
        (Tokens(public=json.dumps({"keys": [jwk]})), signed(GOOD, KEY, "RS256", kid="one")),
        (Tokens(SECRET, PEM), signed(GOOD)),
    ):
        claims = keys.read(text)
        assert (claims.subject, claims.role, claims.cameras, claims.clear) == (
            *("gate", Role.OPERATOR),
            *(None, False),
        )
    limited = Tokens(SECRET).read(signed(GOOD | {"cameras": ["A"], "clear": True}))
    assert (limited.cameras, limited.clear) == (frozenset({"A"}), True)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (signed(GOOD, b"another secret, 32 bytes long too"), "Signature"),
        (signed(GOOD, KEY, "RS256"), "no key"),
        (jwt.encode(GOOD, "", algorithm="none"), "no key"),
        (signed(GOOD, SECRET * 2, "HS512"), "no key"),
        (signed(GOOD | {"exp": 1}), "expired"),
        (signed({"sub": "gate", "role": "viewer"}), "exp"),
        (signed({"role": "viewer", "exp": 4_000_000_000}), "sub"),
        (signed(GOOD | {"nbf": 3_999_999_999}), "not yet"),
        (signed(GOOD | {"aud": "another"}), "audience"),
        (signed(GOOD | {"role": "root"}), "role"),
        (signed(GOOD | {"role": ["admin"]}), "role"),
        (signed(GOOD | {"alpr_user": True}), "alpr_user"),
        (signed({k: v for k, v in GOOD.items() if k != "role"}), "role"),
        (signed(GOOD | {"cameras": "CAM-001"}), "cameras"),
        (signed(GOOD | {"clear": "yes"}), "clear"),
        (signed(GOOD | {"sub": "a\nb"}), "sub"),
        (signed(GOOD)[:-2], ""),
        ("ey.ey.ey", "cannot be read"),
    ],
)
def test_no_other_token_is_taken_and_it_is_told_why(locked: str, text: str, why: str):
    with pytest.raises(TokenError) as refused:
        Tokens(SECRET).read(text)
    assert why.lower() in str(refused.value).lower()
    answer = httpx.get(f"{locked}/stats", headers=bearer(text))
    assert answer.status_code == 401
    assert 'error="invalid_token"' in answer.headers["www-authenticate"]


def test_a_public_key_is_no_secret_to_sign_with():
    """The confusion of algorithms: a token signed by HMAC with the text of the public key."""
    head = jwt.utils.base64url_encode(b'{"alg":"HS256","typ":"JWT"}')
    body = jwt.utils.base64url_encode(json.dumps(GOOD).encode())
    import hashlib
    import hmac

    mac = hmac.digest(PEM.encode(), head + b"." + body, hashlib.sha256)
    forged = b".".join((head, body, jwt.utils.base64url_encode(mac))).decode()
    for keys in (Tokens(public=PEM), Tokens(SECRET, PEM)):
        with pytest.raises(TokenError):
            keys.read(forged)


def test_audience_and_issuer_must_be_the_ones_that_are_set():
    keys = Tokens(SECRET, audience="alpr", issuer="https://login.example")
    with pytest.raises(TokenError, match="iss"):
        keys.read(signed(GOOD))
    with pytest.raises(TokenError, match="udience"):
        keys.read(signed(GOOD | {"aud": "x", "iss": "https://login.example"}))
    with pytest.raises(TokenError, match="issuer"):
        keys.read(signed(GOOD | {"aud": "alpr", "iss": "https://evil.example"}))
    assert keys.read(signed(GOOD | {"aud": ["x", "alpr"], "iss": "https://login.example"}))


def test_keys_that_are_too_weak_or_none_are_refused():
    weak = rsa.generate_private_key(public_exponent=65537, key_size=1024).public_key()
    form = (serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    for secret, public in (
        (b"short", ""),
        (b"", "nothing"),
        (b"", '{"keys": []}'),
        (b"", weak.public_bytes(*form).decode()),
    ):
        with pytest.raises(TokenError):
            Tokens(secret, public)


# --- how much


def test_a_bucket_fills_as_time_goes_and_holds_ten_seconds_worth():
    now = 0.0
    limits = Limits(2.0, lambda: now)
    assert [limits.take("a")["ratelimit-remaining"] for _ in range(20)][-1] == "0"
    with pytest.raises(TooMany) as refused:
        limits.take("a")
    assert refused.value.headers["retry-after"] == "1"
    assert limits.take("b")["ratelimit-remaining"] == "19", "others have buckets of their own"
    now = 1.0
    assert limits.take("a")["ratelimit-remaining"] == "1"
    now = 1000.0
    assert limits.take("a")["ratelimit-remaining"] == "19"
    assert Limits(0).take("a") == {}


def test_who_asks_too_often_waits_and_others_do_not(
    queries: SightingQueries, world: World, keys: AccessKeys
):
    _, mine = keys.create("busy", Role.VIEWER, timedelta(hours=1))
    _, other = keys.create("calm", Role.VIEWER, timedelta(hours=1))
    with served(queries, world.pictures, keys=keys, rate=0.5) as address:
        with httpx.Client(base_url=address, headers=bearer(mine)) as client:
            answers = [client.get("/stats") for _ in range(6)]
            assert [answer.status_code for answer in answers] == [200] * 5 + [429]
            assert answers[0].headers["ratelimit-limit"] == "5"
            assert answers[0].headers["ratelimit-remaining"] == "4"
            assert int(answers[-1].headers["retry-after"]) >= 1
            assert client.get("/health").status_code == 200
            assert client.head("/live").status_code == 200, "streams are not counted"
        assert httpx.get(f"{address}/stats", headers=bearer(other)).status_code == 200
        nobody = [httpx.get(f"{address}/stats").status_code for _ in range(7)]
        assert nobody[0] == 401
        assert nobody[-1] == 429


def test_every_answer_has_the_headers_that_keep_browsers_safe(locked: str):
    for path in ("/login", "/health", "/nothing", "/static/app.css"):
        told = httpx.get(f"{locked}{path}").headers
        policy = told["content-security-policy"]
        assert "default-src 'self'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert told["x-content-type-options"] == "nosniff"
        assert told["referrer-policy"] == "same-origin"
        assert told["cross-origin-opener-policy"] == "same-origin"
        assert told["cross-origin-resource-policy"] == "same-origin"
        assert "camera=()" in told["permissions-policy"]
        assert "access-control-allow-origin" not in told
        assert "strict-transport-security" not in told, "this was no https"
    assert COOKIE
