"""A proxy before the API: its word on who asks, and how, counts if the settings name it."""

import re
from datetime import timedelta
from pathlib import Path

import httpx
import pytest

from projections.access import AccessKeys, Role
from tests.api.test_process import alpr_api
from tests.api.world import World

FORWARDED = {"x-forwarded-for": "198.51.100.7", "x-forwarded-proto": "https"}


@pytest.mark.parametrize(
    ("proxies", "believed"),
    [("127.0.0.1", True), ("10.0.0.0/8, 127.0.0.0/8", True), ("10.0.0.0/8", False), ("", False)],
)
def test_only_a_named_proxy_tells_who_asks_and_whether_by_https(
    world: World, tmp_path: Path, proxies: str, believed: bool
):
    keys = AccessKeys(world.url)
    _, key = keys.create("person", Role.VIEWER, timedelta(hours=1))
    keys.close()
    required = {"ALPR_API_AUTH": "required", "FORWARDED_ALLOW_IPS": "*"}
    with alpr_api(world.url, tmp_path, ALPR_API_PROXIES=proxies, **required) as api:
        address = f"http://127.0.0.1:{api.port}"
        answer = httpx.post(f"{address}/login", data={"key": key}, headers=FORWARDED)
        assert answer.status_code == 303
        assert ("secure" in answer.headers["set-cookie"].lower()) == believed
        wrong = {"x-api-key": "alpr_" + "b" * 8 + "_" + "b" * 52}
        assert httpx.get(f"{address}/stats", headers=FORWARDED | wrong).status_code == 401
        printed = api.end()
    told = re.search(r"a wrong key came from (\S+)", printed)
    assert told
    assert (told[1] == "198.51.100.7") == believed
