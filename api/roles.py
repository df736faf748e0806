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
}
