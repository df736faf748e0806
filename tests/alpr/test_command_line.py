"""The command line: what it says, where, and with which exit code."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest


def alpr(
    *arguments: str, folder: Path, timeout: float = 60, **environ: str
) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("ALPR_")}
    return subprocess.run(
        [sys.executable, "-m", "alpr", *arguments],
        capture_output=True,
        text=True,
        cwd=folder,
        env=clean | {"PYTHONPATH": str(Path(__file__).parents[2])} | environ,
        timeout=timeout,
        check=False,
    )


@pytest.mark.parametrize(
    ("arguments", "environ", "told"),
    [
        (["fly"], {}, "alpr: there is no command 'fly'; there are demo, read, up"),
        (
            ["api", "--prt", "1"],
            {},
            "alpr: api: unrecognized arguments: --prt 1; `alpr api",
        ),
        (["api", "--port", "x"], {}, "alpr: api: argument --port: invalid int value: 'x'"),
        (["settings"], {"ALPR_HOM": "x"}, "alpr: settings: there is no setting ALPR_HOM; did you"),
        (["settings"], {"ALPR_API_PORT": "0"}, "alpr: settings: ALPR_API_PORT=0 cannot be used"),
        (["--verbose", "settings"], {}, "alpr: settings: --verbose stands before the command"),
        (["up"], {"ALPR_CAMERAS": "no.yaml"}, "no.yaml: cannot be read: No such file"),
        (["edge", "--model", "yolo11n.pt"], {}, "alpr: edge: --model needs the extra `yolo`"),
        (["edge", "--skip-frames", "-1"], {}, "alpr: edge: --skip-frames -1 is below 0"),
    ],
)
def test_usage_and_configuration_end_with_2_and_one_line(
    tmp_path: Path, arguments: list[str], environ: dict[str, str], told: str
):
    done = alpr(*arguments, folder=tmp_path, **environ)
    assert done.returncode == 2
    assert told in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert done.stdout == ""
    assert list(tmp_path.iterdir()) == []


def test_a_mistake_among_the_cameras_is_a_configuration_error(tmp_path: Path):
    (tmp_path / "cameras.yaml").write_text("cameras:\n  - id: gate\n    sauce: a.mp4\n")
    done = alpr("up", folder=tmp_path, ALPR_CAMERAS="cameras.yaml")
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    assert "sauce" in done.stderr


@pytest.mark.parametrize("command", ["up", "edge"])
def test_a_file_that_is_not_there_is_named_with_its_camera(tmp_path: Path, command: str):
    (tmp_path / "cameras.yaml").write_text("cameras:\n  - {id: gate, source: a.mp4}\n")
    done = alpr(command, folder=tmp_path, ALPR_CAMERAS="cameras.yaml")
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    assert "camera gate" in done.stderr
    assert "a.mp4): there is no such file" in done.stderr


def test_a_port_in_use_is_a_failure_told_before_anything_starts(tmp_path: Path):
    (tmp_path / "cameras.yaml").write_text("cameras: []\n")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = alpr("up", folder=tmp_path, ALPR_CAMERAS="cameras.yaml", ALPR_API_PORT=port)
    assert done.returncode == 1
    assert (
        f"alpr: up: port {port} of 127.0.0.1 cannot be had: Address already in use" in done.stderr
    )
    assert len(done.stderr.splitlines()) == 1
    assert not (tmp_path / ".alpr/postgres").exists()


@pytest.mark.parametrize("command", ["up", "demo", "replay", "api", "ticker"])
def test_a_home_that_cannot_be_a_folder_is_named_with_the_cure(tmp_path: Path, command: str):
    (tmp_path / "cameras.yaml").write_text("cameras: []\n")
    (tmp_path / "file").touch()
    home = str(tmp_path / "file")
    done = alpr(command, folder=tmp_path, ALPR_HOME=home, ALPR_CAMERAS="cameras.yaml")
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1), done.stderr
    assert home in done.stderr
    assert "writable" in done.stderr
    assert "Error" not in done.stderr


def test_debug_shows_where_an_error_comes_from(tmp_path: Path):
    done = alpr("settings", "--debug", folder=tmp_path, ALPR_API_PORT="x")
    assert done.returncode == 2
    assert "Traceback" in done.stderr
    assert done.stderr.splitlines()[-1].startswith("alpr: settings: ALPR_API_PORT=x")


def test_settings_are_printed_masked_and_can_be_read_again(tmp_path: Path):
    done = alpr("settings", folder=tmp_path, DB_PASSWORD="s3cret")
    assert done.returncode == 0
    assert "ALPR_DATABASE_URL=postgresql://alpr:***@localhost:5432/alpr_db" in done.stdout
    assert "s3cret" not in done.stdout
    (tmp_path / ".env").write_text(done.stdout)
    assert alpr("settings", folder=tmp_path).stdout == done.stdout


@pytest.mark.parametrize("arguments", [[], ["--help"]])
def test_help_lists_the_commands_and_loads_no_room(tmp_path: Path, arguments: list[str]):
    done = alpr(*arguments, folder=tmp_path)
    assert done.returncode == 0
    assert all(f"\n  {name} " in done.stdout for name in ("demo", "read", "up", "replay"))
    check = (
        "import sys, alpr.cli\ntry: alpr.cli.main(['--help'])\nexcept SystemExit: pass\n"
        "print([m for m in ('numpy', 'pydantic', 'fastavro') if m in sys.modules], file=sys.stderr)"
    )
    loaded = subprocess.run(
        [sys.executable, "-c", check], capture_output=True, text=True, check=True
    )
    assert loaded.stderr.strip() == "[]"


@pytest.mark.parametrize("arguments", [["version"], ["--version"]])
def test_the_version_is_told(tmp_path: Path, arguments: list[str]):
    assert alpr(*arguments, folder=tmp_path).stdout.startswith("alpr 0.")


def test_a_reader_that_leaves_early_causes_no_traceback(tmp_path: Path):
    done = subprocess.run(
        f"{sys.executable} -m alpr settings | true; sleep 0.5",
        shell=True,
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
        check=False,
    )
    assert "Traceback" not in done.stderr
