"""What each route asks of a visitor: the one place where it says so."""

from collections.abc import Mapping

from projections.access import Role

# None: anyone, and so no data, but where the address itself is the permission. A route that is
# not here is refused to everybody.
NEEDED: Mapping[str, Role | None] = {
    "GET /health": None,
    "GET /static/{name}": None,
    "GET /login": None,
    "POST /login": None,
    "POST /logout": None,
    "POST /token": None,  # a name and a password, which are looked at there
    "GET /pictures/{token}": None,  # a signed link, which says which picture and until when
    "GET /password": Role.VIEWER,  # everybody's own
    "POST /password": Role.VIEWER,
    "GET /": Role.VIEWER,
    "GET /docs": Role.VIEWER,
    "GET /openapi.json": Role.VIEWER,
    "GET /metrics": Role.VIEWER,
    "GET /stats": Role.VIEWER,
    "GET /events/recent": Role.VIEWER,
    "GET /events/search": Role.VIEWER,
    "GET /events/stream": Role.VIEWER,
    "GET /search": Role.VIEWER,
    "GET /search/fulltext": Role.VIEWER,
    "GET /events/plate/{plate_text:path}": Role.VIEWER,
    "GET /events/camera/{camera_id:path}": Role.VIEWER,
    "GET /events/{event_id}": Role.VIEWER,
    "GET /live": Role.VIEWER,
    "GET /export/sightings.csv": Role.INVESTIGATOR,
    "GET /export/sightings.json": Role.INVESTIGATOR,
    "GET /export/sightings.ndjson": Role.INVESTIGATOR,
    "GET /sightings/{event_id}/evidence.zip": Role.INVESTIGATOR,
    # They send sightings elsewhere, as rules may.
    "GET /subscriptions": Role.ADMIN,
    "POST /subscriptions": Role.ADMIN,
    "DELETE /subscriptions/{subscription_id}": Role.ADMIN,
    "POST /subscriptions/{subscription_id}/pause": Role.ADMIN,
    "POST /subscriptions/{subscription_id}/resume": Role.ADMIN,
    "POST /ingest/reads": Role.INGEST,
    "POST /ingest/frigate": Role.INGEST,
    "POST /ingest/rekor": Role.INGEST,
    "POST /ingest/fast-alpr": Role.INGEST,
    "POST /ingest/plate-recognizer": Role.INGEST,
    "GET /sightings/{event_id}": Role.VIEWER,
    "GET /sightings/{event_id}/corrections": Role.VIEWER,
    "POST /sightings/{event_id}/corrections": Role.OPERATOR,
    "DELETE /sightings/{event_id}/corrections/{correction_id}": Role.OPERATOR,
    "GET /corrections": Role.OPERATOR,
    "GET /corrections/report": Role.OPERATOR,
    "GET /plates/{text:path}": Role.VIEWER,
    # Where somebody goes, and with whom.
    "GET /plates/{text:path}/forget": Role.ADMIN,
    "POST /plates/{text:path}/forget": Role.ADMIN,
    "GET /forgetting/{number}": Role.ADMIN,
    "GET /plates/{text:path}/journey": Role.INVESTIGATOR,
    "GET /plates/{text:path}/companions": Role.INVESTIGATOR,
    "GET /images/{path:path}": Role.VIEWER,
    "GET /reason": Role.VIEWER,
    "POST /reason": Role.VIEWER,
    "GET /audit": Role.INVESTIGATOR,
    "GET /audit.csv": Role.INVESTIGATOR,
    "POST /links": Role.INVESTIGATOR,  # a picture for people without a key
    "GET /alerts": Role.VIEWER,
    "GET /alerts/stream": Role.VIEWER,
    "GET /alerts/{alert_id}": Role.VIEWER,
    "POST /alerts/{alert_id}/acknowledge": Role.OPERATOR,
    "POST /alerts/{alert_id}/resolve": Role.OPERATOR,
    "POST /alerts/{alert_id}/comment": Role.OPERATOR,
    "GET /analytics": Role.OPERATOR,
    "GET /analytics/counts": Role.OPERATOR,
    "GET /analytics/groups": Role.OPERATOR,
    "GET /analytics/week": Role.OPERATOR,
    "GET /analytics/plates": Role.OPERATOR,
    "GET /analytics/top": Role.OPERATOR,
    "GET /analytics/dwell": Role.OPERATOR,
    "GET /analytics/latency": Role.OPERATOR,
    "GET /analytics/quality": Role.OPERATOR,
    "GET /cameras/heat": Role.OPERATOR,
    "GET /cameras": Role.VIEWER,
    "GET /cameras/{camera_id:path}": Role.VIEWER,
    "GET /watchlists": Role.VIEWER,
    "GET /watchlists/{watchlist}": Role.VIEWER,
    "GET /watchlists/{watchlist}.csv": Role.VIEWER,
    "PUT /watchlists/{watchlist}/{plate:path}": Role.OPERATOR,
    "DELETE /watchlists/{watchlist}/{plate:path}": Role.OPERATOR,
    "POST /watchlists/{watchlist}/import": Role.OPERATOR,
    "GET /people": Role.ADMIN,
    "POST /people/users": Role.ADMIN,
    "POST /people/users/{name}": Role.ADMIN,
    "POST /people/users/{name}/password": Role.ADMIN,
    "POST /people/users/{name}/disable": Role.ADMIN,
    "POST /people/users/{name}/enable": Role.ADMIN,
    "POST /people/keys": Role.ADMIN,
    "POST /people/keys/{key_id}/revoke": Role.ADMIN,
    "GET /rules": Role.VIEWER,
    "GET /rules/schema": Role.VIEWER,
    "GET /rules/new": Role.ADMIN,
    "GET /rules/{name:path}": Role.VIEWER,
    # They write nothing, but keep the machine busy.
    "POST /rules/test": Role.OPERATOR,
    "GET /rules/backtest": Role.OPERATOR,
    "POST /rules/backtest": Role.OPERATOR,
    "GET /rules/backtest/{number}": Role.OPERATOR,
    "DELETE /rules/backtest/{number}": Role.OPERATOR,
    # They hold any record, and sending one again changes what the views say.
    "GET /system": Role.ADMIN,
    "GET /dead-letters": Role.ADMIN,
    "GET /dead-letters/{place:path}": Role.ADMIN,
    "POST /dead-letters/redrive": Role.ADMIN,
    # A rule says who is told, and what of: it could send sightings anywhere.
    "POST /rules": Role.ADMIN,
    "PUT /rules/{name:path}": Role.ADMIN,
    "DELETE /rules/{name:path}": Role.ADMIN,
    "POST /rules/{name:path}/enable": Role.ADMIN,
    "POST /rules/{name:path}/disable": Role.ADMIN,
}

# Not counted for the rate of requests: what costs nothing, streams, which are asked for once, and
# reads of cameras, which come as cars do: api.intake.Pressure bounds what they hold.
UNCOUNTED = frozenset(
    {
        "GET /health",
        "GET /static/{name}",
        "GET /live",
        "GET /events/stream",
        "GET /alerts/stream",
        *(name for name in NEEDED if name.startswith("POST /ingest/")),
    }
)

# All that somebody with a one-time password may ask, besides what anybody may.
TO_CHANGE_A_PASSWORD = frozenset({"GET /password", "POST /password"})
