"""The PostgreSQL of the wheel: shared by processes, stopped by the last, up again after a crash."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psutil
import psycopg2
import pytest

from projections.embedded import EmbeddedPostgres
from projections.errors import EmbeddedError

USER = """
import sys
from pathlib import Path
from projections.embedded import EmbeddedPostgres
with EmbeddedPostgres(Path(sys.argv[1])) as server:
    print(server.url, flush=True)
    sys.stdin.read()
"""


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A server's folder, stopped: copying it is faster than making one."""
    made = tmp_path_factory.mktemp("template") / "postgres"
    with EmbeddedPostgres(made):
        pass
    return made


@pytest.fixture
def folder(tmp_path: Path, template: Path) -> Iterator[Path]:
    place = tmp_path / "postgres"
    subprocess.run(["cp", "-a", template, place], check=True)
    yield place
    with EmbeddedPostgres(place):
        pass  # and it stops, whatever the test left running


def start_user(folder: Path) -> subprocess.Popen:
    process = subprocess.Popen(
        [sys.executable, "-c", USER, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stdout.readline().startswith(b"postgresql://")
    return process


def leave(process: subprocess.Popen) -> None:
    process.communicate(timeout=30)


def postmaster(folder: Path) -> int:
    return int((folder / "data" / "postmaster.pid").read_text().split("\n", 1)[0])


def answers(url: str) -> bool:
    try:
        psycopg2.connect(url).close()
    except psycopg2.OperationalError:
        return False
    return True


def remember(url: str) -> None:
    with closing(psycopg2.connect(url)) as connection, connection:
        connection.cursor().execute("CREATE TABLE public.kept AS SELECT 1 AS it")


def remembers(url: str) -> bool:
    with closing(psycopg2.connect(url)) as connection:
        cursor = connection.cursor()
        cursor.execute("SELECT it FROM public.kept")
        return cursor.fetchone() == (1,)


def test_the_first_user_starts_it_and_the_last_stops_it(folder):
    other = start_user(folder)
    with EmbeddedPostgres(folder) as server, EmbeddedPostgres(folder) as same:
        assert same.url == server.url
        leave(other)
        assert answers(server.url)
    assert not answers(server.url)


def test_a_killed_user_harms_nobody_and_is_not_waited_for(folder):
    other = start_user(folder)
    with EmbeddedPostgres(folder) as server:
        other.kill()
        other.wait()
        assert answers(server.url)
    assert not answers(server.url)


def test_what_the_last_user_left_running_is_taken_over(folder):
    other = start_user(folder)
    first = postmaster(folder)
    other.kill()
    other.wait()
    with EmbeddedPostgres(folder) as server:
        assert postmaster(folder) == first
        assert answers(server.url)
    assert not answers(server.url)


def test_the_terminal_s_ctrl_c_does_not_reach_it(folder):
    with EmbeddedPostgres(folder):
        assert os.getsid(postmaster(folder)) != os.getsid(0)


def test_a_killed_server_comes_back_with_its_data(folder):
    with EmbeddedPostgres(folder) as server:
        remember(server.url)
        os.kill(postmaster(folder), signal.SIGKILL)
        with EmbeddedPostgres(folder) as again:
            assert remembers(again.url)
        os.kill(postmaster(folder), signal.SIGKILL)
        while answers(server.url):
            time.sleep(0.01)
        assert server.ensure()
        assert remembers(server.url)
        assert not server.ensure()


def test_a_pid_file_that_names_another_program_after_a_power_cut_is_forgotten(folder):
    with EmbeddedPostgres(folder) as server:
        remember(server.url)
        pid_file = folder / "data" / "postmaster.pid"
        killed = psutil.Process(postmaster(folder))
        text = pid_file.read_text().split("\n", 1)[1]
        family = [killed, *killed.children()]
        for process in family:
            process.kill()
        psutil.wait_procs(family)
        pid_file.write_text(f"{os.getpid()}\n{text}")
        server.ensure()
        assert remembers(server.url)


def test_an_empty_pid_file_after_a_power_cut_is_forgotten(folder):
    with EmbeddedPostgres(folder):
        pass
    (folder / "data" / "postmaster.pid").touch()
    with EmbeddedPostgres(folder) as server:
        assert answers(server.url)


def test_a_first_start_that_was_killed_leaves_nothing_half_made(tmp_path):
    folder = tmp_path / "postgres"
    (folder / "data.new").mkdir(parents=True)
    (folder / "data.new" / "PG_VERSION").write_text("18\n")
    with EmbeddedPostgres(folder) as server:
        assert answers(server.url)


@pytest.mark.parametrize("name", ["with space, comma and 'quote'", "deep" * 40])
def test_any_folder_will_do(tmp_path, template, name):
    subprocess.run(["cp", "-a", template, tmp_path / name], check=True)
    with EmbeddedPostgres(tmp_path / name) as server:
        assert answers(server.url)


def test_data_of_another_version_is_refused_with_the_cure(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "PG_VERSION").write_text("16\n")
    with pytest.raises(EmbeddedError, match="alpr replay"):
        EmbeddedPostgres(tmp_path)


def test_a_server_that_cannot_start_says_what_its_log_says(folder):
    with EmbeddedPostgres(folder):
        pass
    conf = folder / "data" / "postgresql.conf"
    good = conf.read_text()
    conf.write_text(good + "\nno_such_setting = 1\n")
    with pytest.raises(EmbeddedError, match="no_such_setting"):
        EmbeddedPostgres(folder)
    conf.write_text(good)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_a_copy_that_belongs_to_root_says_why_it_does_not_start(folder):
    with EmbeddedPostgres(folder):
        pass
    data = folder / "data"
    owner = data.stat()
    os.chown(data, 0, 0)
    with pytest.raises(EmbeddedError, match=r"does not start: .*[Pp]ermission denied"):
        EmbeddedPostgres(folder)
    os.chown(data, owner.st_uid, owner.st_gid)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount")
def test_a_full_disk_at_the_first_start_is_named(tmp_path):
    tmp_path.chmod(0o755)
    small = tmp_path / "small"
    small.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m,mode=755", "tmpfs", str(small)]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("no tmpfs can be mounted here")
    try:
        with pytest.raises(EmbeddedError, match="No space left on device") as told:
            EmbeddedPostgres(small / "postgres")
        assert "will be owned" not in str(told.value)
    finally:
        subprocess.run(["umount", str(small)], check=True)


def test_its_log_tells_errors_and_no_plate_that_somebody_asked_for(folder):
    with EmbeddedPostgres(folder) as server, closing(psycopg2.connect(server.url)) as connection:
        cursor = connection.cursor()
        with pytest.raises(psycopg2.Error):
            cursor.execute("SELECT * FROM nowhere WHERE plate = %s", ("34A36837",))
    told = (folder / "server.log").read_text()
    assert "nowhere" in told
    assert "34A36837" not in told
