"""alpr doctor: every server of the settings, what its absence means, the cure."""

import secrets
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from alpr.cli import main
from eventlog.kafka_cluster import Cluster, create_topics
from eventlog.kafka_url import KafkaAddress
from schemas.topics import DAY_US, RAW
from tests.servers import free_port


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ALPR_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def doctor(capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    code = main(["doctor"])
    return code, capsys.readouterr().out


def test_an_embedded_system_is_well(capsys: pytest.CaptureFixture[str]) -> None:
    code, told = doctor(capsys)
    assert code == 0
    assert "log      " in told
    assert "not there yet" in told
    assert "FAILED" not in told


def test_every_server_that_is_away_is_named_with_what_it_means_and_no_password(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("alpr.commands.doctor.PATIENCE_S", 1.0)
    monkeypatch.setattr("eventlog.confluent.PATIENCE_S", 0.5)
    ports = [free_port() for _ in range(5)]
    urls = {
        "LOG": f"kafka://alpr:geheim@127.0.0.1:{ports[0]}",
        "REGISTRY": f"http://alpr:geheim@127.0.0.1:{ports[1]}",
        "DATABASE": f"postgresql://alpr:geheim@127.0.0.1:{ports[2]}/alpr",
        "SEARCH": f"http://alpr:geheim@127.0.0.1:{ports[3]}",
        "IMAGES": f"s3+http://alpr:geheim@127.0.0.1:{ports[4]}/alpr-plate-images",
    }
    for name, url in urls.items():
        monkeypatch.setenv(f"ALPR_{name}_URL", url)
    code, told = doctor(capsys)
    assert code == 1
    assert told.count("FAILED") == told.count("until then: ") == len(urls)
    for name, port in zip(("log", "registry", "database", "search", "images"), ports, strict=True):
        assert f"FAILED    {name}" in told
        assert str(port) in told
    assert "edges keep their reads" in told
    assert "geheim" not in told


def test_topics_and_schemas_that_are_missing_or_set_otherwise_are_named(
    kafka: str,
    registry: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    url = f"{kafka}{'&' if urlsplit(kafka).query else '?'}prefix=d{secrets.token_hex(4)}."
    monkeypatch.setenv("ALPR_LOG_URL", url)
    monkeypatch.setenv("ALPR_REGISTRY_URL", registry)
    monkeypatch.setenv("ALPR_LOG_PARTITIONS", "2")
    address = KafkaAddress.parse(url)
    code, told = doctor(capsys)
    assert code == 1
    assert "lacks the topics alpr.reads.raw" in told
    try:
        assert main(["topics", "create"]) == 0
        assert "made d" in capsys.readouterr().out
        assert doctor(capsys)[0] == 0
        create_topics(address, 2, 1, {RAW.name: 3 * DAY_US})
        code, told = doctor(capsys)
        assert code == 1
        assert (
            "retention.ms of alpr.reads.raw is 259200000 (3 days), not 604800000 (7 days)" in told
        )
        monkeypatch.setenv("ALPR_LOG_PARTITIONS", "8")
        code, told = doctor(capsys)
        assert code == 1
        assert "has 2 partitions, 8 are asked for" in told
    finally:
        Cluster(address).drop()


def test_topics_are_listed_with_their_records_and_lag(
    kafka: str,
    registry: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    from eventlog.kafka import KafkaLog
    from eventlog.log import Append

    url = f"{kafka}{'&' if urlsplit(kafka).query else '?'}prefix=d{secrets.token_hex(4)}."
    monkeypatch.setenv("ALPR_LOG_URL", url)
    monkeypatch.setenv("ALPR_REGISTRY_URL", registry)
    monkeypatch.setenv("ALPR_LOG_PARTITIONS", "2")
    address = KafkaAddress.parse(url)
    try:
        assert main(["topics", "create"]) == 0
        log = KafkaLog(address, 2)
        log.append(RAW.name, 0, [Append(b"k", b"v")] * 7)
        log.mark("alpr-dedup", RAW.name, {0: 3, 1: 0})
        while log.marks("alpr-dedup", RAW.name) != {0: 3, 1: 0}:
            pass
        log.close()
        capsys.readouterr()
        assert main(["topics", "list"]) == 0
        told = capsys.readouterr().out
        lines = [line.split() for line in told.splitlines()]
        assert [RAW.name, "2", "7", "7", "days"] in lines
        assert ["alpr-dedup", RAW.name, "4", "2", "of", "2"] in lines
    finally:
        Cluster(address).drop()


def test_topics_of_the_embedded_log_are_listed_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["topics", "create"]) == 0
    assert main(["topics", "list"]) == 0
    assert RAW.name in capsys.readouterr().out
