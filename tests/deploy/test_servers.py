"""``python -m tests.servers up``: servers to try the program with, which keep what they hold."""

import os
import socket
from contextlib import closing

import psycopg2
import pytest

from alpr.settings import load
from alpr.wiring import open_bucket
from tests.servers import Minio, NotInstalled, NotStarted, Postgres, running, up

TWO = ("postgres", "minio")


@pytest.fixture(scope="module", autouse=True)
def _installed():
    try:
        Postgres.check()
        Minio.check()
    except NotInstalled as missing:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(missing))


def ask(url, *statements):
    with closing(psycopg2.connect(url)) as connection, connection, connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)
        return cursor.fetchall()


def bucket(url):
    found = open_bucket(load({"ALPR_IMAGES_URL": url}, None))
    assert found is not None
    return found


def test_servers_started_again_on_a_home_have_their_data_passwords_and_ports(tmp_path):
    with running(tmp_path, TWO) as servers:
        first = [servers[name].url for name in TWO]
        told = (tmp_path / "settings.sh").read_text()
        assert all(f"='{url}'\n" in told for url in first)
        ask(first[0], "CREATE TABLE kept AS SELECT 7 AS n", "SELECT n FROM kept")
        bucket(first[1]).ensure(90)
        bucket(first[1]).put("a.jpg", b"picture")
    assert not (tmp_path / "settings.sh").exists()

    (tmp_path / "settings.sh").write_text("of servers that were killed")
    with running(tmp_path, TWO) as servers:
        assert [servers[name].url for name in TWO] == first
        assert (tmp_path / "settings.sh").read_text() == told
        assert (tmp_path / "settings.sh").stat().st_mode & 0o777 == 0o600
        assert ask(first[0], "SELECT n FROM kept") == [(7,)]
        assert bucket(first[1]).get("a.jpg") == b"picture"
        with pytest.raises(NotStarted, match="are up already"), running(tmp_path, TWO):
            pass
    for path in (tmp_path / "postgres" / "password", tmp_path / "minio" / "secret"):
        assert path.stat().st_mode & 0o777 == 0o600


def test_a_port_that_somebody_else_took_meanwhile_is_another_one(tmp_path):
    before = Postgres(tmp_path).port
    with closing(socket.create_server(("127.0.0.1", before))):
        after = Postgres(tmp_path).port
    assert after != before
    assert Postgres(tmp_path).port == after


def test_a_server_that_does_not_start_is_one_line(tmp_path, monkeypatch):
    (tmp_path / "settings.sh").write_text("old")
    (tmp_path / "postgres" / "data").mkdir(parents=True)
    (tmp_path / "postgres" / "data" / "PG_VERSION").write_text("1\n")
    (tmp_path / "postgres" / "password").write_text("secret")
    monkeypatch.setattr("tests.servers.SERVERS", {"postgres": Postgres})
    with pytest.raises(SystemExit) as ended:
        up(tmp_path)
    (line,) = str(ended.value).splitlines()
    assert line.startswith("postgres did not start: ")
    assert str(tmp_path / "postgres" / "server.out") in line
    assert not (tmp_path / "settings.sh").exists()
