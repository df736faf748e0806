"""Only those who call this server by its own name are answered.

There is no authentication yet: being on this machine is what lets one in. A page of elsewhere
whose name is made to lead to 127.0.0.1 (DNS rebinding) would be on this machine too, but for the
Host that its browser sends.
"""

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from api.encode import Json

# Whatever the port is: behind ssh -L it is another one than ours.
LOCAL = frozenset({"localhost", "127.0.0.1", "[::1]"})
_MISDIRECTED = 421  # RFC 9110, 15.5.20


class LocalHosts:
    """Middleware: a request whose Host names none of ``names`` is refused."""

    def __init__(self, app: ASGIApp, names: frozenset[str] = LOCAL) -> None:
        self._app = app
        self._names = names

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or refuse it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = Request(scope).headers.getlist("host")
        if len(given) == 1 and _name(given[0]) in self._names:
            await self._app(scope, receive, send)
            return
        told = {
            "error": "unknown_host",
            "detail": f"Host {', '.join(given)!r} is not this server: ask http://localhost; a "
            "proxy before it has to send `Host: localhost`",
        }
        await Json(told, status_code=_MISDIRECTED)(scope, receive, send)


def _name(host: str) -> str:
    """Host without its port, in lower case."""
    name, colon, port = host.rpartition(":")
    if not colon or not port.isdigit():
        name = host
    return name.lower().removesuffix(".")
