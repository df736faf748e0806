"""From a camera's frame to a webhook: a drive-by over RTSP in real time, through the whole system.

    python -m benchmarks.frames [--seed 1]

``alpr up`` watches an RTSP camera (Debian's GStreamer: gir1.2-gst-rtsp-server-1.0 python3-gi
gstreamer1.0-plugins-good gstreamer1.0-plugins-bad) that plays a rendered drive-by, each plate of
which is on a list. The time runs from the capture of the frame that opened the sighting, so it
holds the reads that the vote waited for before it was sure; one JSON line.
"""

import argparse
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack, closing
from pathlib import Path

import yaml

from alpr.settings import load
from benchmarks.alerts import Receiver
from benchmarks.dedup import tell
from tests.alpr.system import ROOT, alpr
from tests.servers import free_port
from training.driveby import render

PYTHON = "/usr/bin/python3"
PATIENCE_S = 120.0


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seed", type=int, default=1)
    seed = parser.parse_args(arguments).seed
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="alpr-frames-")))
        truth = render(folder / "drive-by.mp4", seed=seed)
        script = str(ROOT / "tests/edge/rtsp_camera.py")
        camera = subprocess.Popen(
            [PYTHON, script, str(folder / "drive-by.mp4")], stdout=subprocess.PIPE, text=True
        )
        stack.callback(camera.kill)
        assert camera.stdout is not None
        address = camera.stdout.readline().strip()
        if not address:
            print("there is no RTSP server here: see --help", file=sys.stderr)
            return 1
        receiver = stack.enter_context(closing(Receiver()))
        settings = load(
            {
                "ALPR_HOME": str(folder / "home"),
                "ALPR_NOTIFY_ALLOW": "127.0.0.1",
                "ALPR_CAMERAS": str(folder / "cameras.yaml"),
                "ALPR_ALERT_RULES": str(folder / "rules.yaml"),
                "ALPR_API_PORT": str(free_port()),
            },
            None,
        )
        (folder / "cameras.yaml").write_text(
            yaml.safe_dump({"cameras": [{"id": "GATE-1", "source": address}]})
        )
        (folder / "rules.yaml").write_text(
            "rules:\n- name: Listed\n  conditions: {watchlist: {kinds: [deny]}}\n"
            f"  actions: [{{type: webhook, url: '{receiver.url}'}}]\n"
        )
        for plate in truth.plates:
            code, said = alpr(settings, "watchlist", "add", plate.plate, "--kind", "deny")
            if code:
                raise SystemExit(said)
        environ = dict(os.environ) | settings.environ()
        with (folder / "up.txt").open("wb") as out:
            up = subprocess.Popen(
                [sys.executable, "-m", "alpr", "up"], env=environ, cwd=ROOT, stdout=out, stderr=out
            )
            stack.callback(up.wait)
            stack.callback(up.send_signal, signal.SIGINT)
            deadline = time.monotonic() + PATIENCE_S
            wanted = {plate.plate for plate in truth.plates}
            while not receiver.alerts.keys() >= wanted and time.monotonic() < deadline:
                time.sleep(0.2)
        heard = sorted(1000 * (at - first) for first, at in receiver.alerts.values())
        if not heard:
            print((folder / "up.txt").read_text(), file=sys.stderr)
            return 1
        tell(
            "frames.frame_to_webhook",
            statistics.median(heard),
            "ms",
            most=round(heard[-1], 1),
            plates=len(truth.plates),
            heard=len(heard),
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
