"""Whatever is sent, the API keeps to its own OpenAPI description and never fails by itself.

Schemathesis makes requests from the description, good ones and broken ones, for every endpoint.
"""

import json
import os
import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.checks import (
    content_type_conformance,
    not_a_server_error,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from schemathesis.generation import GenerationMode

from projections.access import AccessKeys, Role
from tests.api.test_process import alpr_api
from tests.api.watched import Watched
from tests.api.world import World
from tests.projections import alerts as made

EXAMPLES = 20 if os.environ.get("CI") == "true" else 8
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
ENDLESS = {"/events/stream", "/alerts/stream"}
MINUTE = 60_000_000  # microseconds


@pytest.fixture(scope="module")
def whole(
    world: World,
    queries: object,
    keys: AccessKeys,
    postgres_url: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[str, str]]:
    """Where `alpr api` listens with everything that it has, and an administrator's key."""
    home = tmp_path_factory.mktemp("home")
    watched = Watched(postgres_url, home / "log")
    now = time.time_ns() // 1000
    watched.say("RuleVersion", made.rule())
    watched.say("AlertEvent", *[made.alert(n, at=now - n * MINUTE) for n in range(1, 6)])
    watched.say("WatchlistEntry", *[made.entry(n) for n in range(12)])
    _, key = keys.create("asks for everything", Role.ADMIN, timedelta(hours=1))
    given_settings = {
        "ALPR_LOG_PARTITIONS": "1",
        "ALPR_API_AUTH": "required",
        "ALPR_API_RATE": "0",
        "ALPR_IMAGES_URL": f"file://{world.folder}",
    }
    with alpr_api(postgres_url, home, **given_settings) as api:
        yield f"http://127.0.0.1:{api.port}", key
    watched.close()


@pytest.mark.slow
def test_every_answer_is_as_described(whole: tuple[str, str]):
    address, key = whole
    headers = {"authorization": f"Bearer {key}"}
    described = schemathesis.openapi.from_url(f"{address}/openapi.json", headers=headers)
    failures: list[str] = []
    tried = 0
    for found in described.get_all_operations():
        operation = found.ok()
        if operation.path in ENDLESS:
            continue
        tried += 1
        for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
            try:
                ask(operation, mode, headers)
            except (Exception, BaseExceptionGroup) as error:
                failures.append(f"{operation.label} ({mode.value}):\n{str(error)[:700]}")
    assert tried > 60
    assert not failures, "\n\n".join(failures)


def ask(operation: Any, mode: GenerationMode, headers: dict[str, str]) -> None:
    """Some requests of an endpoint, the same in every run."""

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def asked(case: schemathesis.Case) -> None:
        case.call_and_validate(checks=CHECKS, headers=headers, timeout=30)

    asked()


def test_every_route_that_reads_a_body_says_that_it_may_be_too_large(whole: tuple[str, str]):
    address, key = whole
    told = httpx.get(f"{address}/openapi.json", headers={"authorization": f"Bearer {key}"}).json()
    silent = [
        f"{method} {path}"
        for path, methods in told["paths"].items()
        for method, operation in methods.items()
        if "requestBody" in operation and "413" not in operation["responses"]
    ]
    assert silent == []
    assert "#/$defs" not in json.dumps(told)
