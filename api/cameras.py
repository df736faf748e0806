"""Cameras: what each is set to, whether it is heard, what it saw last and how much."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Path, Request
from starlette.responses import Response

from api import models, parameters, view
from api.camera_models import CameraResponse, CamerasResponse
from api.encode import Json
from api.errors import NotFound, wants_page
from api.heartbeats import Heartbeats, Pulse
from api.pages import Pages, frame_of
from images.store import ImageStore
from projections.camera_queries import CameraQueries
from projections.queries import Row, SightingQueries

_SIGHTINGS = 12  # that a camera's page shows
_HOURS = 24
_UNTOLD = "unknown"

CameraId = Annotated[str, Path(max_length=200, description="as in its records")]


@dataclass(frozen=True, slots=True)
class Cameras:
    """What is asked of cameras; ``now`` gives the time for the last day's hours."""

    queries: CameraQueries
    heartbeats: Heartbeats
    now: Callable[[], float] = time.time


def router(
    cameras: Cameras, sightings: SightingQueries, images: ImageStore, pages: Pages
) -> APIRouter:
    """``/cameras`` and ``/cameras/{camera_id}``; after those with fixed addresses under it."""
    routes = APIRouter(tags=["cameras"])

    @routes.get("/cameras", response_model=None, responses={200: {"model": CamerasResponse}})
    def listing(request: Request) -> Response:
        """Every camera that is set or has sightings: its health, its last day, what it saw last.

        `state` is live, reconnecting, silent (nothing for 30 s), ended, or unknown, where the log
        is away or holds no heartbeat of it any more.
        """
        parameters.refuse_unknown(request, frozenset())
        rows = _told(cameras, cameras.queries.cameras())
        if wants_page(request):
            return pages.page(
                "cameras.html", section="/cameras", cameras=[_shown(row) for row in rows]
            )
        return Json({"count": len(rows), "cameras": rows})

    @routes.get(
        "/cameras/{camera_id:path}",
        response_model=None,
        responses={200: {"model": CameraResponse}, 404: {"model": models.Problem}},
    )
    def one(request: Request, camera_id: CameraId) -> Response:
        """One camera with every version of its settings."""
        parameters.refuse_unknown(request, frozenset())
        named = parameters.text("camera_id", camera_id) or ""
        rows = _told(cameras, cameras.queries.cameras(named))
        versions = cameras.queries.versions(named)
        if not rows and not versions:
            raise NotFound(f"there is no camera {named!r}: look at /cameras")
        row = rows[0] if rows else _gone(versions[0])
        if not wants_page(request):
            return Json({**row, "versions": versions})
        frame, no_frame = None, "No picture of this camera is kept."
        if row["event_id"] is not None:
            frame, no_frame = frame_of(images, row)
        return pages.page(
            "camera.html",
            section="/cameras",
            c=_shown(row),
            frame=frame,
            no_frame=no_frame,
            roi=_roi(row),
            facts=_facts(row),
            versions=[
                {
                    "at": view.moment(one["effective_from"], one["node"]["timezone"]),
                    "by": one["actor"],
                    "facts": _facts(one),
                    "removed": one["settings"] is None,
                }
                for one in versions
            ],
            sightings=[view.card(found) for found in sightings.by_camera(named, limit=_SIGHTINGS)],
        )

    return routes


def _told(cameras: Cameras, rows: Sequence[Row]) -> list[Row]:
    """Cameras with ``health`` and ``hours``, the sightings in each of the last 24."""
    pulses = cameras.heartbeats.latest()
    hours = cameras.queries.hourly(datetime.fromtimestamp(cameras.now(), UTC), _HOURS)
    return [
        {
            **row,
            "health": _health((pulses or {}).get(row["camera_id"])),
            "hours": hours.get(row["camera_id"], [0] * _HOURS),
        }
        for row in rows
    ]


def _gone(version: Row) -> Row:
    """A camera that was removed and never saw anything."""
    sighted = ("event_id", "captured_at", "last_seen", "frame_image_url", "box", "site_id")
    return {
        **version,
        **dict.fromkeys((*sighted, "zone", "lane", "timezone")),
        "sightings": 0,
        "health": _health(None),
        "hours": [0] * _HOURS,
    }


def _health(pulse: Pulse | None) -> dict[str, Any]:
    if pulse is None:
        return {
            "state": _UNTOLD,
            **dict.fromkeys(("heard_at", "fps", "frames_seen", "frames_dropped")),
        }
    return {
        "state": pulse.state,
        "heard_at": view.instant(pulse.heard_at),
        "fps": round(pulse.fps, 2),
        "frames_seen": pulse.frames_seen,
        "frames_dropped": pulse.frames_dropped,
    }


def _shown(row: Row) -> dict[str, Any]:
    health, node = row["health"], row["node"] or {}
    zone = node.get("timezone") or row["timezone"] or "UTC"
    seen, dropped = health["frames_seen"], health["frames_dropped"]
    most = max(row["hours"]) or 1
    return {
        "id": row["camera_id"],
        "url": f"/cameras/{quote(row['camera_id'], safe='')}",
        "name": (row["settings"] or {}).get("name") or "",
        "place": [
            part
            for part in (
                *(node.get("site") or row["site_id"], node.get("zone") or row["zone"]),
                view.lane(node.get("lane") or row["lane"] or ""),
            )
            if part
        ],
        "state": health["state"],
        "off": row["settings"] is not None and not row["settings"].get("enabled", True),
        "heard": view.moment(health["heard_at"], zone) if health["heard_at"] else None,
        "fps": health["fps"],
        "seen": seen,
        "dropped": view.percent(dropped / seen) if seen else None,
        "picture": view.picture(row["frame_image_url"] or ""),
        "latest": view.moment(row["last_seen"], zone) if row["last_seen"] else None,
        "sightings": row["sightings"],
        "day": sum(row["hours"]),
        "bars": [round(24 * number / most) for number in row["hours"]],
    }


def _roi(row: Row) -> dict[str, int] | None:
    roi = (row["settings"] or {}).get("roi")
    if not roi:
        return None
    left, top, right, bottom = roi
    return {"x": left, "y": top, "width": right - left, "height": bottom - top}


def _facts(row: Row) -> list[tuple[str, str]]:
    """What a camera is set to, in words."""
    settings, node = row["settings"] or {}, row["node"] or {}
    position = ""
    if node.get("latitude") is not None and node.get("longitude") is not None:
        position = f"{node['latitude']:.5f}, {node['longitude']:.5f}"
    roi, days = settings.get("roi"), settings.get("retention_days")
    told = (
        ("Source", settings.get("source")),
        ("Enabled", "" if settings.get("enabled", True) else "no"),
        ("Gate", row["camera_group"]),
        ("Site", node.get("site")),
        ("Zone", node.get("zone")),
        ("Lane", node.get("lane")),
        ("Position", position),
        ("Time zone", node.get("timezone")),
        ("Countries", ", ".join(settings.get("country") or ())),
        ("Direction", settings.get("direction")),
        ("Read part", " ".join(map(str, roi)) if roi else ""),
        ("Frames a second at most", settings.get("fps")),
        ("Kept for", f"{days} days" if days else ""),
        ("Read by", node.get("host")),
    )
    return [(name, str(value)) for name, value in told if value]
