"""``alpr demo``: a rendered drive-by, or a video, through the whole system, before your eyes."""

import argparse
import shutil
import socket
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import closing, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from alpr.errors import AlprError, ConfigError
from alpr.logs import Say
from alpr.settings import Settings

if TYPE_CHECKING:
    from rich.console import Console

    from alpr.up import Signals, Up
    from projections.queries import SightingQueries
    from training.driveby import Truth

PORTS = 20  # tried from the settings' on, since a demonstration should not fail over one
WAIT_S = 600.0
STAY_S = 45.0
"""From when the last car came until the first leaves: time to put one on a list."""
# A car park of nowhere in particular: name and coordinates of its two cameras.
PLACES = {"GATE-1": ("Entrance", 48.1486, 11.5678), "EXIT-1": ("Exit", 48.1502, 11.5703)}
# Whatever servers the settings name: a demonstration touches none of them.
_EMBEDDED: dict[str, Any] = {
    **dict.fromkeys(("log_url", "edge_log", "registry_url", "search_url", "images_url"), ""),
    "database_url": "embedded",
    "log_partitions": 4,
    "partitions": (),
}


def configure(parser: argparse.ArgumentParser) -> None:
    """What `alpr demo` takes."""
    parser.add_argument("video", nargs="?", type=Path, help="a video instead of the drive-by")
    parser.add_argument(
        "--once", action="store_true", help="end with the video; say whether its truth was met"
    )
    parser.add_argument("--seed", type=int, default=1, help="another drive-by")


def run(arguments: argparse.Namespace, settings: Settings) -> int:
    """Show the sightings of a video as they come; exit code 1 if a known truth is not met."""
    from rich.console import Console

    from alpr.up import Signals, Up

    console = Console(highlight=False)
    video, truth = arguments.video, None
    if video is not None and not video.is_file():
        raise ConfigError(f"there is no file {video}; name a video, or nothing for the drive-by")
    home = _fresh(settings.home / "demo")
    if video is None:
        video, truth = _render(home / "drive-by.mp4", arguments.seed, console)
    cameras = {"GATE-1": video}
    if truth is not None and not arguments.once:
        cameras["EXIT-1"] = _leaving(home / "exit.mp4", video, truth, console)
    own = settings.changed(
        home=home,
        **_EMBEDDED,
        cameras=_cameras(home / "cameras.yaml", cameras),
        alert_rules=_rules(home / "alert_rules.yaml"),
        api_port=_free_port(settings.api_host, settings.api_port),
    )
    say = _Quiet(home / "demo.log")
    if truth is not None:
        wanted = truth.plates[len(truth.plates) // 2].plate
        _watch(own, wanted)
        console.print(f"{wanted} is on a list of plates to look for.")
    parts = "edge, dedup, alerts, notify, project, keep, metrics, ticker, api"
    console.print(f"Starting: {parts} (their log: {say.path})")
    # Signals are taken note of, not raised: a second one (a terminal and uv may both send it)
    # must not cut short the way down.
    with Signals() as signals, Up(own, say) as up:
        console.print(f"\n  The page:  [bold]{up.address}[/bold]\n")
        shown = _follow(up, signals, console)
        if truth is not None:
            verdicts = {
                camera: judge(truth, [row for row in shown if row["camera_id"] == camera])
                for camera in cameras
            }
            for camera, found in verdicts.items():
                found.tell(console, camera)
            verdict = verdicts["GATE-1"]
        else:
            verdict = None
            console.print(f"{len(shown)} sightings in {video.name}.")
        if up.failed:
            raise AlprError(up.failed[0])
        _tell_alerts(up, console)
        if arguments.once:
            return int(verdict is not None and not verdict.met)
        console.print(f"\nThe page stays at [bold]{up.address}[/bold] until Ctrl-C.")
        while not up.supervisor.wait(0.5):
            _go_on(signals)
        raise AlprError(up.supervisor.failure or "a process has ended; see the log")


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was seen, held against what there was to see; plates without separators."""

    right: tuple[str, ...]
    missed: tuple[str, ...]
    wrong: tuple[str, ...]
    """sightings of no plate of the clip, or a second one of the same"""

    @property
    def met(self) -> bool:
        """Whether every plate was seen once, and nothing else."""
        return not self.missed and not self.wrong

    def tell(self, console: "Console", camera: str) -> None:
        """Print it."""
        total = len(self.right) + len(self.missed)
        mark = "[green]✓[/green]" if self.met else "[red]✗[/red]"
        console.print(
            f"{mark} {camera}: {len(self.right)} of {total} plates read right, once each."
        )
        if self.missed:
            console.print(f"  not seen: {', '.join(self.missed)}")
        if self.wrong:
            console.print(f"  seen and not there: {', '.join(self.wrong)}")


def judge(truth: "Truth", sightings: Sequence[dict[str, Any]]) -> Verdict:
    """Compare the sightings that stand with the plates that drove by."""
    seen = [str(row["plate_normalized_text"]) for row in sightings]
    there = [plate.plate for plate in truth.plates]
    wrong = list(seen)
    for plate in there:
        if plate in wrong:
            wrong.remove(plate)
    return Verdict(
        right=tuple(plate for plate in there if plate in seen),
        missed=tuple(plate for plate in there if plate not in seen),
        wrong=tuple(wrong),
    )


class _Quiet:
    """The processes' log goes to a file; only what went wrong is shown."""

    def __init__(self, path: Path) -> None:
        from alpr.logs import Printer

        self.path = path
        self._file = Printer(path.open("a", encoding="utf-8"))
        self._shown: Say = Printer(sys.stderr)

    def __call__(self, name: str, level: str, message: str) -> None:
        self._file(name, level, message)
        if level in ("ERROR", "CRITICAL"):
            self._shown(name, level, message)


def _fresh(home: Path) -> Path:
    """An empty home of our own: a demonstration begins with nothing, and touches nothing else."""
    from alpr.up import locked

    mark = home / "drive-by.txt"
    if home.exists():
        if not mark.exists():
            raise ConfigError(
                f"{home} is not of an earlier demonstration; move it away, or set ALPR_HOME"
            )
        with locked(home / "up.lock"):  # no demonstration that runs loses its ground
            shutil.rmtree(home)
    home.mkdir(parents=True)
    mark.write_text("`alpr demo` empties this folder at each start.\n", encoding="utf-8")
    return home


def _render(path: Path, seed: int, console: "Console") -> tuple[Path, "Truth"]:
    from rich.progress import Progress

    from training.driveby import render

    console.print("Rendering a drive-by …")
    with Progress(console=console, transient=True) as bar:
        task = bar.add_task("Rendering a drive-by", total=None)
        truth = render(
            path,
            seed=seed,
            progress=lambda done, total: bar.update(task, completed=done, total=total),
        )
    seconds = truth.frames / truth.fps
    console.print(f"A drive-by of {seconds:.0f} s, {len(truth.plates)} plates: {path}")
    return path, truth


def _leaving(path: Path, video: Path, truth: "Truth", console: "Console") -> Path:
    """The same cars a while later, as another camera sees them leave: for ways and alerts."""
    from training.driveby import later

    stay = truth.frames / truth.fps + STAY_S
    later(video, path, stay)
    console.print(f"The same cars leave by EXIT-1, {stay:.0f} s after they came.")
    return path


def _cameras(path: Path, videos: Mapping[str, Path]) -> Path:
    cameras = [
        {
            "id": name,
            "name": f"{PLACES[name][0]} camera",
            "source": str(video.absolute()),
            "site": "Demo",
            "zone": PLACES[name][0],
            "lane": "1",
            "latitude": PLACES[name][1],
            "longitude": PLACES[name][2],
        }
        for name, video in videos.items()
    ]
    path.write_text(yaml.safe_dump({"cameras": cameras}), encoding="utf-8")
    return path


def _rules(path: Path) -> Path:
    """A rule that tells nobody: others would tell people of cars that are not there."""
    rule = {
        "name": "Deny list",
        "description": "The plate is on a list of plates that may not come in",
        "severity": "critical",
        "conditions": {"watchlist": {"kinds": "deny"}},
    }
    path.write_text(yaml.safe_dump({"rules": [rule]}), encoding="utf-8")
    return path


def _watch(settings: Settings, plate: str) -> None:
    """Put a plate on a list of the kind deny, for which the demonstration has a rule."""
    from alpr.wiring import open_codec, open_log
    from projections.statements import Statements
    from rules.alerts.watch_entry import entry

    with closing(open_log(settings)) as log:
        now = time.time_ns() // 1000
        wanted = entry("demo", plate, kind="deny", reason="to show an alert", actor="demo", at=now)
        Statements(log, open_codec(settings), lambda: now).watch([wanted])


def _tell_alerts(up: "Up", console: "Console") -> None:
    queries = up.alert_queries()
    try:
        for row in queries.alerts(limit=20):
            console.print(
                f"[red]![/red] Alert: {row['message']} ({row['rule']}, {row['severity']})"
            )
    finally:
        queries.close()


def _free_port(host: str, first: int) -> int:
    for port in range(first, min(first + PORTS, 65536)):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except OSError:
                continue
            return port
    raise ConfigError(f"ports {first} to {first + PORTS - 1} are in use; set ALPR_API_PORT")


def _go_on(signals: "Signals") -> None:
    """Raise KeyboardInterrupt if SIGINT or SIGTERM has come."""
    if signals.came:
        raise KeyboardInterrupt


def _follow(up: "Up", signals: "Signals", console: "Console") -> list[dict[str, Any]]:
    """Show the sightings while they come, until all is read; those that stand at the end."""
    from rich.live import Live

    began = time.monotonic()
    rows: list[dict[str, Any]] = []
    told: dict[str, tuple[Any, ...]] = {}
    first: float | None = None
    queries = up.queries()
    try:
        live = Live(_table(rows), console=console, refresh_per_second=4)
        with live if console.is_terminal else nullcontext():
            while not up.wait_drained(0.5):
                _go_on(signals)
                rows = _rows(queries)
                if rows and first is None:
                    first = time.monotonic() - began
                if console.is_terminal:
                    live.update(_table(rows))
                else:
                    _tell_new(rows, told, console)
                if time.monotonic() - began > WAIT_S:
                    raise AlprError(f"the video is not read after {WAIT_S:.0f} s; see the log")
            rows = _rows(queries)
            live.update(_table(rows))
        if not console.is_terminal:
            console.print(_table(rows))
    finally:
        queries.close()
    if first is not None:
        console.print(
            f"First sighting {first:.0f} s after the start, all read after"
            f" {time.monotonic() - began:.0f} s."
        )
    return rows


def _rows(queries: "SightingQueries") -> list[dict[str, Any]]:
    from projections.errors import ViewError

    try:
        found = queries.recent(limit=200)
    except ViewError:
        return []  # the view is being made
    return sorted(found, key=lambda row: (row["first_seen"], str(row["event_id"])))


def _tell_new(
    rows: Sequence[dict[str, Any]], told: dict[str, tuple[Any, ...]], console: "Console"
) -> None:
    """Where nothing can be redrawn, a line for each change."""
    standing = {str(row["event_id"]) for row in rows}
    for gone in [one for one in told if standing and one not in standing]:
        began, plate, _ = told.pop(gone)
        console.print(f"{began:%H:%M:%S}  {plate:<10} retracted")
    for row in rows:
        what = (row["first_seen"], row["plate_normalized_text"], row["status"])
        if told.get(str(row["event_id"]), (None,))[1:] != what[1:]:
            told[str(row["event_id"])] = what
            console.print(f"{what[0]:%H:%M:%S}  {what[1]:<10} {what[2]}")


def _table(rows: Sequence[dict[str, Any]]) -> Any:
    from rich.table import Table

    table = Table("Seen", "Plate", "Country", "Confidence", "Reads", "Status", expand=False)
    tones = {"tentative": "yellow", "confirmed": "green", "revised": "magenta", "ended": "dim"}
    for row in rows:
        table.add_row(
            f"{row['first_seen']:%H:%M:%S}–{row['last_seen']:%H:%M:%S}",
            f"[bold]{row['plate_normalized_text']}[/bold]",
            row["plate_region"] or "",
            f"{row['plate_confidence']:.2f}",
            str(row["reads"]),
            f"[{tones.get(row['status'], 'white')}]{row['status']}[/]",
        )
    if not rows:
        table.add_row("…", "waiting for the first plate", "", "", "", "")
    return table
