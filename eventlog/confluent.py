"""The schema registry of a Kafka system, by Confluent's HTTP API."""

import contextlib
import json
import logging
import os
import ssl
import threading
import time
from collections.abc import Callable
from hashlib import sha256
from math import inf
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import parse_qsl, quote, unquote, urlsplit, urlunsplit
from uuid import uuid4

import httpx

from eventlog.registry import SchemaConflict
from schemas.codec import RegistryUnavailable

T = TypeVar("T")

PATIENCE_S = 20.0  # how long a question is repeated before RegistryUnavailable
PAUSE_S = (0.2, 2.0)  # between two attempts: at first, at most
DOWN_S = 10.0  # a registry that did not answer is left alone, where the file knows the answer
UNKNOWN_S, UNKNOWN = 60.0, 1000  # how long, and how many, unknown ids are remembered
LARGEST = 2**31 - 1  # ids are Java's integers
_TIMEOUT = httpx.Timeout(5.0, connect=3.0)
_MEDIA = "application/vnd.schemaregistry.v1+json"
_log = logging.getLogger(__name__)


class ConfluentRegistry:
    """A ``schemas.codec.SchemaRegistry`` behind ``http(s)://[USER:PASSWORD@]HOST:PORT[/PATH]``.

    ``?ca=FILE`` names the authority of an https registry. What was learnt is kept in memory and
    in a file under ``folder``, as a number never changes its schema; the file is asked only while
    the registry does not answer. Only ``register`` writes: it is for deployments.

    Raises RegistryUnavailable where neither answers, and for a refused login or certificate. With
    ``patience_s`` infinite it waits for an answer and logs when it begins to and when it goes on.
    """

    def __init__(
        self,
        url: str,
        folder: Path,
        patience_s: float = PATIENCE_S,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        parts = urlsplit(url)
        place = parts.netloc.rpartition("@")[2]
        path = parts.path.rstrip("/")
        self.shown = urlunsplit((parts.scheme, place, path, "", ""))
        self._patience_s = patience_s
        self._sleep = sleep
        self._path = path
        user, password = unquote(parts.username or ""), unquote(parts.password or "")
        ca = dict(parse_qsl(parts.query)).get("ca")
        self._client = httpx.Client(
            base_url=f"{parts.scheme}://{place}",
            auth=(user, password) if user else None,
            verify=_trust(ca) if parts.scheme == "https" else False,
            timeout=_TIMEOUT,
            headers={"Accept": f"{_MEDIA}, application/json"},
            trust_env=False,
        )
        self._lock = threading.Lock()
        self._ids: dict[tuple[str, str], int] = {}
        self._texts: dict[int, str] = {}
        self._unknown: dict[int, float] = {}
        self._down_until = 0.0
        name = sha256(self.shown.encode()).hexdigest()[:16]
        self._kept = _Kept(folder / f"registry-{name}.json", self.shown)

    def register(self, subject: str, schema: str) -> int:
        """The id of ``schema`` under ``subject``, a new one if it has none yet.

        Holds the subject to FULL_TRANSITIVE. Raises SchemaConflict where the subject's versions
        and ``schema`` cannot read each other.
        """
        name = quote(subject, safe="")
        self._asked("PUT", f"/config/{name}", {"compatibility": "FULL_TRANSITIVE"})
        answer = self._asked("POST", f"/subjects/{name}/versions", {"schema": schema})
        if answer.status_code in (409, 422):
            raise SchemaConflict(
                f"{subject}: {self.shown} refuses the schema ({_message(answer)}); "
                "add and drop only fields with a default"
            )
        return self._learn(subject, schema, self._told(answer, "id", int))

    def find(self, subject: str, schema: str) -> int:
        """The id of ``schema`` under ``subject``; KeyError if a deployment did not register it."""
        known = self._ids.get((subject, schema))
        if known is not None:
            return known
        kept = self._kept.id(subject, schema)
        answer = self._looked_up("POST", f"/subjects/{quote(subject, safe='')}", kept, schema)
        if answer is None:
            assert kept is not None
            return kept
        if answer.status_code == 404:
            raise KeyError(subject)
        return self._learn(subject, schema, self._told(answer, "id", int))

    def schema(self, schema_id: int) -> str:
        """The JSON text of a schema; KeyError if the registry says there is none of this id."""
        known = self._texts.get(schema_id)
        if known is not None:
            return known
        if schema_id > LARGEST or self._unknown.get(schema_id, 0.0) > time.monotonic():
            raise KeyError(schema_id)
        kept = self._kept.text(schema_id)
        answer = self._looked_up("GET", f"/schemas/ids/{schema_id}", kept)
        if answer is None:
            assert kept is not None
            return kept
        if answer.status_code == 404:
            if len(self._unknown) >= UNKNOWN:
                self._unknown.clear()
            self._unknown[schema_id] = time.monotonic() + UNKNOWN_S
            raise KeyError(schema_id)
        text = self._told(answer, "schema", str)
        self._texts[schema_id] = text
        self._kept.keep({}, {schema_id: text})
        return text

    def subjects(self) -> list[str]:
        """Every subject, sorted."""
        answer = self._asked("GET", "/subjects")
        self._expect(answer)
        return sorted(answer.json())

    def compatibility(self, subject: str) -> str | None:
        """What new versions of a subject are held to; None if only the registry's default."""
        answer = self._asked("GET", f"/config/{quote(subject, safe='')}")
        if answer.status_code == 404:
            return None
        self._expect(answer)
        return answer.json().get("compatibilityLevel")

    def close(self) -> None:
        """Leave the registry."""
        self._client.close()

    def _learn(self, subject: str, schema: str, number: int) -> int:
        self._ids[subject, schema] = number
        self._kept.keep({(subject, schema): number}, {})
        return number

    def _looked_up(
        self, method: str, path: str, kept: object, schema: str | None = None
    ) -> httpx.Response | None:
        """The registry's answer; None where it gives none and the file knows."""
        body = None if schema is None else {"schema": schema}
        if kept is None:
            return self._asked(method, path, body)
        if time.monotonic() < self._down_until:
            return None
        try:
            return self._asked(method, path, body, patience_s=0.0)
        except RegistryUnavailable as error:
            self._down_until = time.monotonic() + DOWN_S
            _log.warning("%s; going on with what %s holds", error, self._kept.path)
            return None

    def _asked(
        self, method: str, path: str, body: Any = None, patience_s: float | None = None
    ) -> httpx.Response:
        """The answer, asked for again while the registry is away or overloaded."""
        patience = self._patience_s if patience_s is None else patience_s
        began, pause, waiting = time.monotonic(), PAUSE_S[0], False
        while True:
            try:
                answer = self._client.request(
                    method,
                    self._path + path,
                    content=None if body is None else json.dumps(body),
                    headers={} if body is None else {"Content-Type": _MEDIA},
                )
            except httpx.HTTPError as error:
                cause: Exception | None = error
                told = str(error) or type(error).__name__
                if "CERTIFICATE_VERIFY_FAILED" in told:
                    raise RegistryUnavailable(
                        f"the schema registry at {self.shown}: no TLS with it ({told}): name the "
                        "authority of its certificate by ?ca=FILE in ALPR_REGISTRY_URL"
                    ) from error
            else:
                if answer.status_code in (401, 403):
                    raise RegistryUnavailable(
                        f"the schema registry at {self.shown} refuses us ({answer.status_code}): "
                        "set USER:PASSWORD@ in ALPR_REGISTRY_URL"
                    )
                if _of_a_registry(answer):
                    if waiting:
                        _log.warning(
                            "going on: the schema registry at %s answers again after %.0f s",
                            self.shown, time.monotonic() - began,
                        )  # fmt: skip
                    return answer
                cause, told = None, f"status {answer.status_code}"
                if answer.status_code < 500 and answer.status_code != 429:
                    told += ", not as a schema registry does: is /apis/ccompat/v7 lacking?"
            away = (
                f"the schema registry at {self.shown} does not answer ({told}): "
                "start it, or set ALPR_REGISTRY_URL to where it is"
            )
            if time.monotonic() + pause > began + patience:
                raise RegistryUnavailable(away) from cause
            if not waiting and patience == inf:
                waiting = True
                _log.warning("waiting: %s", away)
            self._sleep(pause)
            pause = min(2 * pause, PAUSE_S[1])

    def _told(self, answer: httpx.Response, what: str, kind: type[T]) -> T:
        """A part of an answer."""
        self._expect(answer)
        told = answer.json()
        value = told.get(what) if isinstance(told, dict) else None
        if not isinstance(value, kind):
            raise RegistryUnavailable(f"{self.shown} answers without {what}, as no registry does")
        return value

    def _expect(self, answer: httpx.Response) -> None:
        if answer.status_code != 200:
            raise RegistryUnavailable(
                f"{self.shown} answers {answer.status_code} ({_message(answer)}), as no schema "
                "registry does: does ALPR_REGISTRY_URL lack a path such as /apis/ccompat/v7?"
            )


class _Kept:
    """The file of what a registry has told, for a start while it is down; any number of processes.

    Each writes what it read and what it learnt; what is lost by two at once is learnt again.
    """

    def __init__(self, path: Path, registry: str) -> None:
        self.path = path
        self._registry = registry
        self._lock = threading.Lock()
        self._ids, self._texts = self._load()

    def id(self, subject: str, schema: str) -> int | None:
        return self._ids.get(self._key(subject, schema))

    def text(self, schema_id: int) -> str | None:
        return self._texts.get(str(schema_id))

    def keep(self, ids: dict[tuple[str, str], int], texts: dict[int, str]) -> None:
        """Add to the file; a disk that takes nothing is only told."""
        new_ids = {self._key(*key): number for key, number in ids.items()}
        new_texts = {str(number): text for number, text in texts.items()}
        with self._lock:
            if new_ids.items() <= self._ids.items() and new_texts.items() <= self._texts.items():
                return
            ids_there, texts_there = self._load()
            self._ids = ids_there | self._ids | new_ids
            self._texts = texts_there | self._texts | new_texts
            whole = {"registry": self._registry, "ids": self._ids, "schemas": self._texts}
            draft = self.path.with_name(f".{self.path.name}.{uuid4().hex}")
            try:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                draft.write_text(json.dumps(whole), encoding="utf-8")
                os.replace(draft, self.path)
            except OSError as error:
                with contextlib.suppress(OSError):
                    draft.unlink()
                _log.warning("%s cannot be written (%s): no start while the registry is down",
                             self.path, error.strerror)  # fmt: skip

    def _load(self) -> tuple[dict[str, int], dict[str, str]]:
        try:
            whole = json.loads(self.path.read_text(encoding="utf-8"))
            return dict(whole["ids"]), dict(whole["schemas"])
        except FileNotFoundError:
            return {}, {}
        except (OSError, ValueError, KeyError, TypeError) as error:
            _log.warning("%s cannot be read (%s): it is made anew", self.path, error)
            return {}, {}

    @staticmethod
    def _key(subject: str, schema: str) -> str:
        return f"{subject} {sha256(schema.encode()).hexdigest()}"


def _trust(ca: str | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=ca)
    except OSError as error:
        raise RegistryUnavailable(
            f"{ca}, the ca of ALPR_REGISTRY_URL, cannot be used ({error}): name a PEM file"
        ) from error


def _of_a_registry(answer: httpx.Response) -> bool:
    """Whether a registry says it, rather than something in its place, such as a proxy's page."""
    if answer.status_code >= 500 or answer.status_code == 429:
        return False
    try:
        told = answer.json()
    except ValueError:
        return False
    return answer.status_code != 404 or (
        isinstance(told, dict) and str(told.get("error_code", "")).startswith("404")
    )


def _message(answer: httpx.Response) -> str:
    try:
        return str(answer.json()["message"])
    except (ValueError, KeyError, TypeError):
        return answer.text[:200]
