"""Only those who call this server by its own name are answered.

Where no key is asked for, being on this machine is what lets one in. A page of elsewhere whose
name is made to lead to 127.0.0.1 (DNS rebinding) would be on this machine too, but for the Host
that its browser sends.
"""

from collections.abc import Collection
from ipaddress import ip_address

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from api.encode import Json

# Whatever the port is: behind ssh -L it is another one than ours.
LOCAL = frozenset({"localhost", "127.0.0.1", "[::1]"})
_MISDIRECTED = 421  # RFC 9110, 15.5.20


class OwnHosts:
    """Middleware: a request whose Host is neither LOCAL nor one of ``names`` is refused.

    With ``numbers`` any IP address will do: where the network leads it here, no name was bent.
    """

    def __init__(self, app: ASGIApp, names: Collection[str] = (), numbers: bool = False) -> None:
        self._app = app
        self._names = LOCAL | {_name(name) for name in names}
        self._numbers = numbers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or refuse it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = Request(scope).headers.getlist("host")
        if len(given) == 1 and self._is_own(_name(given[0])):
            await self._app(scope, receive, send)
            return
        told = {
            "error": "unknown_host",
            "detail": f"Host {', '.join(given)!r} is not this server: ask http://localhost, or "
            "name it in ALPR_API_HOSTS; a proxy before it has to send a Host that is known here",
        }
        await Json(told, status_code=_MISDIRECTED)(scope, receive, send)

    def _is_own(self, name: str) -> bool:
        return name in self._names or (self._numbers and _is_number(name))


def _name(host: str) -> str:
    """Host without its port, in lower case."""
    name, colon, port = host.rpartition(":")
    if not colon or not port.isdigit():
        name = host
    return name.lower().removesuffix(".")


def _is_number(name: str) -> bool:
    try:
        ip_address(name.removeprefix("[").removesuffix("]"))
    except ValueError:
        return False
    return True
