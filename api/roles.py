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
    "GET /pictures/{token}": None,  # a signed link, which says which picture and until when
    "GET /": Role.READ,
    "GET /docs": Role.READ,
    "GET /openapi.json": Role.READ,
    "GET /metrics": Role.READ,
    "GET /stats": Role.READ,
    "GET /events/recent": Role.READ,
    "GET /events/search": Role.READ,
    "GET /events/stream": Role.READ,
    "GET /events/plate/{plate_text:path}": Role.READ,
    "GET /events/camera/{camera_id:path}": Role.READ,
    "GET /events/{event_id}": Role.READ,
    "GET /live": Role.READ,
    "GET /sightings/{event_id}": Role.READ,
    "GET /plates/{text:path}": Role.READ,
    "GET /images/{path:path}": Role.READ,
    "GET /alerts": Role.READ,
    "GET /alerts/stream": Role.READ,
    "GET /alerts/{alert_id}": Role.READ,
    "POST /alerts/{alert_id}/acknowledge": Role.OPERATE,
    "POST /alerts/{alert_id}/resolve": Role.OPERATE,
    "POST /alerts/{alert_id}/comment": Role.OPERATE,
    "GET /watchlists": Role.READ,
    "GET /watchlists/{watchlist}": Role.READ,
    "GET /watchlists/{watchlist}.csv": Role.READ,
    "PUT /watchlists/{watchlist}/{plate:path}": Role.OPERATE,
    "DELETE /watchlists/{watchlist}/{plate:path}": Role.OPERATE,
    "POST /watchlists/{watchlist}/import": Role.OPERATE,
    "GET /rules": Role.READ,
    "GET /rules/schema": Role.READ,
    "GET /rules/new": Role.ADMIN,
    "GET /rules/{name:path}": Role.READ,
    # They write nothing, but keep the machine busy.
    "POST /rules/test": Role.OPERATE,
    "GET /rules/backtest": Role.OPERATE,
    "POST /rules/backtest": Role.OPERATE,
    "GET /rules/backtest/{number}": Role.OPERATE,
    "DELETE /rules/backtest/{number}": Role.OPERATE,
    # A rule says who is told, and what of: it could send sightings anywhere.
    "POST /rules": Role.ADMIN,
    "PUT /rules/{name:path}": Role.ADMIN,
    "DELETE /rules/{name:path}": Role.ADMIN,
    "POST /rules/{name:path}/enable": Role.ADMIN,
    "POST /rules/{name:path}/disable": Role.ADMIN,
}
