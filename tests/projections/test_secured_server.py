"""PostgreSQL over TLS with a password: who it is and who we are is checked, no secret is told."""

import os
import shutil
import subprocess
from contextlib import closing
from pathlib import Path

import psycopg2
import pytest

from projections.errors import AccessRefused
from projections.queries import SightingQueries
from projections.view import SightingsView
from tests.projections.sightings import LOG, sighting
from tests.servers import Postgres


def openssl(folder: Path, *arguments: str) -> None:
    subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An authority, a server's certificate for localhost by it, and an authority of others."""
    if shutil.which("openssl") is None:
        pytest.skip("there is no openssl to make certificates with")
    folder = tmp_path_factory.mktemp("tls")
    fresh = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
    for name in ("ca", "others"):
        made = ("-keyout", f"{name}.key", "-out", f"{name}.crt", "-days", "2")
        openssl(folder, "req", "-x509", *fresh, *made, "-subj", f"/CN={name}")
    openssl(
        folder, "req", *fresh, "-keyout", "server.key", "-out", "server.csr", "-subj", "/CN=alpr"
    )
    (folder / "names").write_text("subjectAltName=DNS:localhost")
    signed = ("-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial", "-extfile", "names")
    openssl(folder, "x509", "-req", "-in", "server.csr", *signed, "-out", "server.crt")
    return folder


@pytest.fixture
def server(own_server, certificates: Path, tmp_path: Path) -> Postgres:
    place = tmp_path / "server"
    place.mkdir()
    for name in ("server.crt", "server.key"):
        shutil.copy(certificates / name, place)
        (place / name).chmod(0o600)
        if os.geteuid() == 0:
            shutil.chown(place / name, "postgres", "postgres")
    for folder in (place, *place.parents):
        if not folder.stat().st_mode & 0o001:
            folder.chmod(folder.stat().st_mode | 0o011)
    files = {
        "ssl_cert_file": str(place / "server.crt"),
        "ssl_key_file": str(place / "server.key"),
    }
    return own_server(Postgres, settings={"ssl": "on", **files})


def secured(server: Postgres, authority: Path, host: str = "localhost") -> str:
    url = server.url.replace("127.0.0.1", host)
    return f"{url}?sslmode=verify-full&sslrootcert={authority}"


def test_the_view_is_written_and_asked_over_tls(server, certificates):
    url = secured(server, certificates / "ca.crt")
    with closing(SightingsView(url, LOG)) as view, closing(SightingQueries(url)) as queries:
        view.apply(0, 0, [sighting(1)], 1)
        assert queries.stats()["total_events"] == 1
    with closing(psycopg2.connect(url)) as connection:
        cursor = connection.cursor()
        cursor.execute("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()")
        assert cursor.fetchone() == (True,)


@pytest.mark.parametrize(
    ("authority", "host"), [("others.crt", "localhost"), ("ca.crt", "127.0.0.1")]
)
def test_a_server_that_cannot_prove_its_name_is_refused(server, certificates, authority, host):
    with pytest.raises(AccessRefused, match="certificate") as raised:
        SightingsView(secured(server, certificates / authority, host), LOG)
    assert server.password not in str(raised.value)


def test_a_wrong_password_is_said_and_not_shown(server, certificates):
    url = secured(server, certificates / "ca.crt").replace(server.password, "wrong-5ecret")
    with pytest.raises(
        AccessRefused, match=r"password authentication failed.*ALPR_DATABASE_URL"
    ) as raised:
        SightingsView(url, LOG)
    assert "wrong-5ecret" not in str(raised.value)
