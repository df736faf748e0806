"""Trainings are remembered: their recipes, figures and files, in MLflow."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

HERE = "sqlite:///training-runs.db"
"""Where runs are kept unless MLFLOW_TRACKING_URI says otherwise: a file in the current folder."""


class Run:
    """One training or measurement under way."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def figures(self, values: Mapping[str, float], step: int | None = None) -> None:
        """Remember figures, of a step if there are any."""
        self._client.log_metrics(dict(values), step=step)

    def file(self, path: Path) -> None:
        """Keep a copy of a file with the run."""
        self._client.log_artifact(str(path))


@contextmanager
def run(subject: str, parameters: Mapping[str, Any]) -> Iterator[Run]:
    """A run of an experiment named ``subject``; ended as failed if an error leaves it."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("DO_NOT_TRACK", "true")
    import mlflow

    mlflow.set_tracking_uri(os.environ.get("MLFLOW_TRACKING_URI", HERE))
    mlflow.set_experiment(subject)
    with mlflow.start_run():
        mlflow.log_params(dict(parameters))
        yield Run(mlflow)
