"""Analytics from aggregations of OpenSearch, made so that they give what the roll-ups give.

The live index has one shard, so that its terms are exact; buckets and histograms are ranges with
the same edges as in PostgreSQL, and no aggregation that estimates (cardinality, percentiles) is
asked. What people corrected is not in the documents: it is asked of PostgreSQL, and left out or
added here. So are different and new plates, which OpenSearch could only count by reading all.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

from opensearchpy.exceptions import NotFoundError, TransportError

from projections.analytics import Behind, By, Counts, Scope
from projections.analytics_rollups import TIMEOUT_MS, RollupAnalytics
from projections.asking import Row
from projections.errors import QueryTimeout, ViewMismatch, ViewUnavailable
from projections.grant import granted
from projections.search_index import ALIAS
from projections.search_server import SearchServer
from projections.veil import told
from rules.spread import DWELL, MEASURES

_FIELDS = {
    "dwell": "dwell_ms",
    "latency": "latency_ms",
    "confidence": "plate_confidence",
    "reads": "reads",
}
_GROUPS: dict[By, str] = {
    "camera": "camera_id",
    "site": "site_id",
    "type": "vehicle_type",
    "region": "plate_region",
}
_CAMERAS = 500
"""Cameras of one histogram: with its bins they stay below search.max_buckets (65,535)."""
_CORRECTED = 60_000
"""Corrections of one time; index.max_terms_count is 65,536."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_BY_COUNT = [{"_count": "desc"}, {"_key": "asc"}]
_RETRACTED = {"term": {"status": "retracted"}}


class SearchAnalytics:
    """Analytics of the live view in OpenSearch; see projections.analytics.Analytics.

    ``beside`` is PostgreSQL's, for what people corrected and for plates by day.
    """

    def __init__(
        self, server: SearchServer, beside: RollupAnalytics, timeout_ms: int = TIMEOUT_MS
    ) -> None:
        self._server = server
        self._beside = beside
        self._timeout_ms = timeout_ms

    def behind(self) -> Behind | None:
        """Not known: plates by day may be, see the system page for how far the index is."""
        return None

    def counts(self, marks: Sequence[datetime], scope: Scope, by: By, limit: int) -> Counts:
        """Sightings by bucket, for each of the ``limit`` largest groups."""
        buckets = {
            "date_range": {
                "field": "captured_at",
                "ranges": [
                    {"from": _millis(start), "to": _millis(end)} for start, end in pairwise(marks)
                ],
            }
        }
        asked: dict[str, Any] = {"at": buckets}
        if by != "all":
            terms = {"field": _GROUPS[by], "size": limit, "missing": "", "order": _BY_COUNT}
            asked["groups"] = {"terms": terms, "aggs": {"at": buckets}}
        hidden = self._hidden(marks[0], marks[-1], scope)
        found = self._ask(self._standing(marks[0], marks[-1], scope, hidden), asked)
        every = _buckets(found["at"])
        if by == "all":
            return Counts({"": every} if any(every) else {}, [0] * len(every))
        groups = {one["key"]: _buckets(one["at"]) for one in found["groups"]["buckets"]}
        other = [n - sum(column) for n, *column in zip(every, *groups.values(), strict=True)]
        return Counts(groups, other)

    def plates(self, marks: Sequence[datetime], scope: Scope) -> list[tuple[int, int]]:
        """Different and new plates of each bucket, from PostgreSQL."""
        return self._beside.plates(marks, scope)

    def top(self, start: datetime, end: datetime, scope: Scope, limit: int) -> list[Row]:
        """The plates there most often."""
        corrected = self._corrections(start, end, scope)
        moved = [row for row in corrected if row["text"] is not None and not row["hidden"]]
        within = {
            "first": {"min": {"field": "captured_at"}},
            "last": {"max": {"field": "captured_at"}},
        }
        terms = {"field": "plate_normalized_text", "size": limit, "order": _BY_COUNT}
        asked: dict[str, Any] = {"top": {"terms": terms, "aggs": within}}
        texts = sorted({row["text"] for row in moved})
        if texts:  # with those that it has by correction a plate may rise
            wanted = {**terms, "size": len(texts), "include": texts}
            asked["moved"] = {"terms": wanted, "aggs": within}
        ids = [row["event_id"] for row in corrected if row["hidden"] or row["text"] is not None]
        found = self._ask(self._standing(start, end, scope, ids), asked)
        plates: dict[str, Row] = {}
        for answer in found.values():
            for one in answer["buckets"]:
                plates[one["key"]] = {
                    "plate": one["key"],
                    "sightings": one["doc_count"],
                    "first_seen": _time(one["first"]["value"]),
                    "last_seen": _time(one["last"]["value"]),
                }
        for row in moved:
            at = _time(_millis(row["captured_at"]))
            fresh = {"plate": row["text"], "sightings": 0, "first_seen": at, "last_seen": at}
            plate = plates.setdefault(row["text"], fresh)
            plate["sightings"] += 1
            plate["first_seen"] = min(plate["first_seen"], at)
            plate["last_seen"] = max(plate["last_seen"], at)
        ranked = sorted(plates.values(), key=lambda one: (-one["sightings"], one["plate"]))
        return told(ranked[:limit])

    def spread(
        self, measure: str, start: datetime, end: datetime, scope: Scope
    ) -> dict[str, list[int]]:
        """The histogram of a measure for each camera."""
        unit = 1000 if measure == DWELL.name else 1  # documents hold milliseconds
        edges = [edge * unit for edge in MEASURES[measure].edges]
        ranges = [
            {"to": edges[0]},
            *({"from": a, "to": b} for a, b in pairwise(edges)),
            {"from": edges[-1]},
        ]
        asked = _by_camera({"bins": {"range": {"field": _FIELDS[measure], "ranges": ranges}}})
        hidden = self._hidden(start, end, scope)
        found = self._ask(self._standing(start, end, scope, hidden), asked)
        return {
            one["key"]: [told["doc_count"] for told in one["bins"]["buckets"]]
            for one in self._cameras(found)
        }

    def quality(self, start: datetime, end: datetime, scope: Scope) -> list[Row]:
        """How reading went, a row a camera."""
        corrected = self._corrections(start, end, scope)
        by_person = {
            "hidden": Counter(row["camera_id"] for row in corrected if row["hidden"]),
            "corrected": Counter(
                row["camera_id"]
                for row in corrected
                if row["text"] is not None and not row["hidden"]
            ),
        }
        hidden = [row["event_id"] for row in corrected if row["hidden"]]
        stands = {"bool": {"must_not": [_RETRACTED, {"terms": {"event_id": hidden}}]}}
        part = {"exists": {"field": "merged_into"}}
        asked = _by_camera(
            {
                "sightings": {
                    "filter": stands,
                    "aggs": {
                        "reads": {"sum": {"field": "reads"}},
                        "revised": {"filter": {"exists": {"field": "was"}}},
                    },
                },
                "retracted": {"filter": {"bool": {"filter": [_RETRACTED], "must_not": [part]}}},
                "merged": {"filter": {"bool": {"filter": [_RETRACTED, part]}}},
            }
        )
        found = self._ask({"bool": {"filter": self._within(start, end, scope)}}, asked)
        return [
            {
                "camera_id": one["key"],
                "read_total": int(one["sightings"]["reads"]["value"]),
                "sightings": one["sightings"]["doc_count"],
                "revised": one["sightings"]["revised"]["doc_count"],
                **{name: counted[one["key"]] for name, counted in by_person.items()},
                "retracted": one["retracted"]["doc_count"],
                "merged": one["merged"]["doc_count"],
            }
            for one in self._cameras(found)
        ]

    def close(self) -> None:
        """Release the connections, also those beside."""
        self._server.close()
        self._beside.close()

    def _cameras(self, found: Mapping[str, Any]) -> list[dict[str, Any]]:
        if found["cameras"]["sum_other_doc_count"]:
            raise QueryTimeout(
                f"there are more than {_CAMERAS} cameras, which is too much for one histogram: "
                "narrow it by camera or site"
            )
        return found["cameras"]["buckets"]

    def _hidden(self, start: datetime, end: datetime, scope: Scope) -> list[str]:
        found = self._corrections(start, end, scope)
        return [row["event_id"] for row in found if row["hidden"]]

    def _corrections(self, start: datetime, end: datetime, scope: Scope) -> list[Row]:
        found = self._beside.corrections(start, end, scope)
        if len(found) > _CORRECTED:
            raise QueryTimeout(
                f"{len(found):,} sightings of this time were corrected, which is too much to "
                "leave out one by one: choose a shorter time, a camera or a site"
            )
        return found

    def _within(self, start: datetime, end: datetime, scope: Scope) -> list[dict[str, Any]]:
        conditions: list[dict[str, Any]] = [
            {"range": {"captured_at": {"gte": start.isoformat(), "lt": end.isoformat()}}}
        ]
        cameras = granted()
        if cameras is not None:
            conditions.append({"terms": {"camera_id": sorted(cameras)}})
        for field, value in (("camera_id", scope.camera), ("site_id", scope.site)):
            if value is not None:
                conditions.append({"term": {field: value}})
        return conditions

    def _standing(
        self, start: datetime, end: datetime, scope: Scope, without: Sequence[str]
    ) -> dict[str, Any]:
        left_out = [_RETRACTED, {"terms": {"event_id": list(without)}}]
        return {"bool": {"filter": self._within(start, end, scope), "must_not": left_out}}

    def _ask(self, query: dict[str, Any], aggregations: dict[str, Any]) -> dict[str, Any]:
        body = {
            "size": 0,
            "track_total_hits": False,
            "timeout": f"{self._timeout_ms}ms",
            "query": query,
            "aggs": aggregations,
        }
        try:
            answer = self._server.ask("POST", f"/{ALIAS}/_search", body)
        except NotFoundError:
            raise ViewUnavailable(
                f"{self._server.place} holds no {ALIAS}: nothing was indexed yet"
            ) from None
        except TransportError as error:
            raise ViewMismatch(
                f"{self._server.place} does not count: {error.status_code} {error.error}"
            ) from error
        if answer["timed_out"]:
            raise QueryTimeout("the query took too long: narrow it by plate, camera or time")
        return answer["aggregations"]


def _by_camera(within: dict[str, Any]) -> dict[str, Any]:
    order = {"_key": "asc"}
    terms = {"field": "camera_id", "size": _CAMERAS, "order": order}
    return {"cameras": {"terms": terms, "aggs": within}}


def _buckets(answer: Mapping[str, Any]) -> list[int]:
    return [one["doc_count"] for one in answer["buckets"]]


def _millis(moment: datetime) -> int:
    return (moment - _EPOCH) // timedelta(milliseconds=1)


def _time(millis: float) -> datetime:
    return _EPOCH + timedelta(milliseconds=int(millis))
