"""The table of permissions holds: every route by every role, by nobody, by a key that ended."""

from collections.abc import Iterator
from datetime import timedelta

import httpx
import pytest

from api.guard import COOKIE, Trust
from api.roles import NEEDED, UNCOUNTED
from projections.access import AccessKeys, Role
from projections.queries import SightingQueries
from tests.api.conftest import served
from tests.api.test_access import routes
from tests.api.watched import whole
from tests.api.world import World

HOUR = timedelta(hours=1)
# Asked by HEAD, since their answers have no end.
STREAMS = frozenset(name for name in NEEDED if name in UNCOUNTED and "stream" in name) | {
    "GET /live"
}


@pytest.fixture(scope="module")
def locked(queries: SightingQueries, world: World, keys: AccessKeys) -> Iterator[str]:
    trust = Trust(fresh=0.0, failures=100_000)
    with served(queries, world.pictures, keys=keys, trust=trust, **whole(world.url)) as address:
        yield address


@pytest.fixture(scope="module")
def holders(keys: AccessKeys) -> dict[str, str]:
    made = {role.value: keys.create(role.value, role, HOUR)[1] for role in Role}
    key, made["revoked"] = keys.create("revoked", Role.ADMIN, HOUR)
    keys.revoke(key.key_id)
    return made


def ask(client: httpx.Client, name: str, headers: dict[str, str]) -> int:
    """The status of a route asked with what cannot be found, and an empty body."""
    method, path = name.split(" ", 1)
    parts = ["zz" if part.startswith("{") else part for part in path.split("/")]
    if parts[-1].endswith(".csv") and "zz" not in path:
        parts[-1] = parts[-1].replace("{watchlist}", "zz")
    method = "HEAD" if name in STREAMS else method
    # What is not there in this test fails with 500, after which the server closes the connection.
    headers = {**headers, "connection": "close"}
    return client.request(method, "/".join(parts), headers=headers).status_code


@pytest.fixture(scope="module")
def every(queries: SightingQueries, world: World, keys: AccessKeys) -> list[str]:
    """Every route, ``METHOD /path``, as the application has them."""
    return sorted(routes(queries, world, keys))


@pytest.mark.parametrize("who", [*(role.value for role in Role), "nobody", "revoked", "session"])
def test_everybody_gets_what_the_table_says_and_nothing_else(
    locked: str, every: list[str], holders: dict[str, str], who: str
):
    headers = {"authorization": f"Bearer {holders[who]}"} if who in holders else {}
    if who == "session":
        headers = {"cookie": f"{COOKIE}={'a' * 52}", "origin": locked}
    wrong: list[str] = []
    with httpx.Client(base_url=locked, timeout=30) as client:
        for name in every:
            needed = NEEDED[name]
            status = ask(client, name, headers)
            if needed is None:
                fine = status not in {401, 403} or name == "POST /login"
            elif who in {"nobody", "revoked", "session"}:
                fine = status == 401
            elif Role(who).covers(needed):
                fine = status not in {401, 403}
            else:
                fine = status == 403
            if not fine:
                wrong.append(f"{name} needs {needed and needed.value}: {status}")
    assert wrong == []


def test_the_ranks_of_the_table_are_as_they_were_meant():
    """What must not slip: read here once more, apart from the table."""
    for name, needed in NEEDED.items():
        path = name.partition(" ")[2]
        if path.startswith(("/people", "/dead-letters")):
            assert needed is Role.ADMIN, name
        if path.startswith("/ingest/"):
            assert needed is Role.INGEST, name
        if path.startswith("/rules") and name.split()[0] in {"PUT", "DELETE"}:
            assert needed in {Role.ADMIN, Role.OPERATOR}, name
        if needed is None:
            assert path in {
                *("/health", "/static/{name}", "/login", "/logout", "/token"),
                "/pictures/{token}",
            }, f"{name} is open to everybody"
