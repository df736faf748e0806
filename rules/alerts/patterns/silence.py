"""Cameras that were not heard for too long, by the clock of their partition."""

from collections.abc import Callable
from typing import Any

from rules.alerts.identity import alert_id
from rules.alerts.patterns.base import Claim
from rules.alerts.signals import CameraTold, Evidence


class Silence:
    """The silent cameras of one shape of one rule; an alert for each silence that is too long.

    It is over by itself when the camera is heard again, or its source ends properly.
    """

    def __init__(
        self,
        rule: str,
        longer: int,
        in_force: Callable[[int], bool],
        state: dict[str, Any] | None = None,
    ) -> None:
        self._rule = rule
        self._longer = longer
        self._in_force = in_force
        self._cameras: dict[str, tuple[CameraTold, bool]] = {}
        """With whether the alert was said."""
        if state is not None:
            self._cameras = {
                camera_id: (CameraTold(*told), said)
                for camera_id, (told, said) in state["cameras"].items()
            }

    @property
    def empty(self) -> bool:
        """Whether no camera is silent."""
        return not self._cameras

    def take(self, told: CameraTold) -> Claim | None:
        """Note what became of a camera; returns the alert that is over by this."""
        if told.state == "silent":
            known = self._cameras.get(told.camera_id)
            if known is None or known[0].heard_at != told.heard_at:
                self._cameras[told.camera_id] = told, False
            return None
        known, said = self._cameras.pop(told.camera_id, (None, False))
        return self._claim(known) if known is not None and said else None

    def advance(self, partition: int, clock: int) -> list[Claim]:
        """The alerts that are due as the clock of a partition has come this far."""
        due: list[Claim] = []
        for camera_id, (told, said) in sorted(self._cameras.items()):
            if said or told.partition != partition or clock < told.heard_at + self._longer:
                continue
            if self._in_force(max(told.heard_at + self._longer, told.appended_at)):
                self._cameras[camera_id] = told, True
                due.append(self._claim(told))
        return due

    def says(self, alert_id: str) -> bool:
        """Whether it stands by an alert."""
        return any(
            said and self._claim(told).alert_id == alert_id for told, said in self._cameras.values()
        )

    def state(self) -> dict[str, Any]:
        """Plain values that will not change."""
        return {"cameras": {c: (tuple(told), said) for c, (told, said) in self._cameras.items()}}

    def _claim(self, told: CameraTold) -> Claim:
        until = told.heard_at + self._longer
        return Claim(
            alert_id(self._rule, told.camera_id, told.heard_at),
            told.camera_id,
            None,
            until,
            1,
            (),
            told.heard_at,
            until,
            _evidence(told),
        )


def _evidence(told: CameraTold) -> Evidence:
    """What is known of a camera, in the place of a sighting."""
    return Evidence(
        event_id="",
        revision=0,
        partition=told.partition,
        appended_at=told.appended_at,
        captured_at=told.heard_at,
        first_seen=told.heard_at,
        last_seen=told.heard_at,
        status="",
        plate="",
        text="",
        confidence=0.0,
        camera_id=told.camera_id,
        gate=told.camera_id,
        site="",
        zone="",
        timezone="",
        latitude=None,
        longitude=None,
        images={"plate_url": "", "vehicle_url": "", "frame_url": ""},
        watched=None,
        was=(),
        near_change=told.near_change,
    )
