"""Ctrl-C of the demo: a terminal and `uv run` may both send it, and nothing may be left behind."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import psutil


def test_two_signals_at_once_leave_no_process_behind(tmp_path: Path) -> None:
    video = tmp_path / "grey.mp4"
    film = cv2.VideoWriter(str(video), cv2.VideoWriter.fourcc(*"mp4v"), 10, (320, 240))
    for shade in range(300):
        film.write(np.full((240, 320, 3), shade % 200, np.uint8))
    film.release()
    home = Path("/tmp") / f"alpr-demo-{os.getpid()}"  # short, as PostgreSQL's sockets like it
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environ = dict(os.environ) | {"ALPR_HOME": str(home), "ALPR_API_PORT": str(port)}
    demo = subprocess.Popen(
        [sys.executable, "-m", "alpr", "demo", str(video)],
        env=environ,
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    assert demo.stdout is not None
    for line in demo.stdout:
        if b"The page:" in line:
            break
    time.sleep(2)
    own = psutil.Process(demo.pid).children(recursive=True)
    server = int((home / "demo/postgres/data/postmaster.pid").read_text().splitlines()[0])

    os.killpg(demo.pid, signal.SIGINT)
    time.sleep(0.2)
    demo.send_signal(signal.SIGINT)

    assert demo.wait(60) == 130
    deadline = time.monotonic() + 10
    while psutil.pid_exists(server) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not psutil.pid_exists(server)
    assert not [process for process in own if process.is_running()]
    shutil.rmtree(home)
