"""Posting to addresses that a rule may have written: checked where it connects, and bounded.

- NetError
  - Unusable: this address is never posted to as it is
  - Unreachable: the net or the other side failed; it may go through later
"""

import socket
import ssl
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from re import fullmatch
from typing import Any
from urllib.parse import SplitResult, urlsplit

import httpcore

Network = IPv4Network | IPv6Network
Address = IPv4Address | IPv6Address

# Special networks that older Pythons take for open: IANA's registries of 2024.
_SPECIAL = tuple(
    ip_network(text)
    for text in ("192.0.0.0/24", "192.88.99.0/24", "64:ff9b::/96", "64:ff9b:1::/48", "2001::/23")
)

LIMIT_S = 20.0  # for all of one post, the answer included
CONNECT_S = 5.0  # for one address of a name
KEPT = 4096  # bytes of an answer that are read: enough to say what was wrong
_LONGEST_PAUSE_S = 3600.0  # of a Retry-After


class NetError(Exception):
    """A post did not get its answer; the message names the host and the cause."""


class Unusable(NetError):
    """Nothing is sent to this address: its form, or where it leads, is refused."""


class Unreachable(NetError):
    """No answer: not found, not connected, not trusted, or not in time."""


@dataclass(frozen=True, slots=True)
class Answer:
    """``text`` is the beginning of the answer; ``leads_to`` the host that a redirect names."""

    status: int
    retry_after: float | None
    leads_to: str
    text: str


def check(url: str) -> SplitResult:
    """The parts of an http or https URL that can be posted to. Raises Unusable.

    The message never repeats the URL, which may hold a secret.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise Unusable("the URL cannot be read: use https://HOST[:PORT]/PATH") from None
    if parts.scheme not in ("http", "https"):
        raise Unusable("the URL is neither http nor https: use https://HOST[:PORT]/PATH")
    if "@" in parts.netloc:
        raise Unusable(
            "the URL holds a user or password before its host: leave it out, and name the "
            "variable of a token by token_env"
        )
    if not url.isascii() or not url.isprintable() or " " in url or "\\" in url:
        raise Unusable("the URL holds a space or a sign beyond ASCII: write it as %XX")
    host = parts.hostname or ""
    if not fullmatch(r"[a-z0-9._-]+|[0-9a-f:.]+", host) or port == 0:
        raise Unusable("the URL names no host: use https://HOST[:PORT]/PATH")
    return parts


def shown(url: str) -> str:
    """``https://host:port/path`` of a URL: what may be shown of one that a rule holds.

    Raises Unusable.
    """
    parts = check(url)
    return f"{parts.scheme}://{parts.netloc}{parts.path}"


def is_public(address: Address) -> bool:
    """Whether an address belongs to the open internet, also where it is wrapped in another."""
    if isinstance(address, IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if inner is not None:
            return is_public(inner)
        if address.is_site_local:
            return False
    if address.is_multicast or address.is_reserved or address.is_link_local:
        return False
    return address.is_global and not any(
        address in network for network in _SPECIAL if network.version == address.version
    )


class Post:
    """Posts once, follows nothing, asks no proxy; safe for several threads.

    ``allow`` are networks that URLs may lead to although they are not of the open internet.
    ``resolve`` is socket.getaddrinfo's. Each post has a connection of its own, so none that was
    made for one name is used for another.
    """

    def __init__(
        self,
        allow: Sequence[Network] = (),
        *,
        resolve: Callable[..., Iterable[Any]] = socket.getaddrinfo,
        limit_s: float = LIMIT_S,
    ) -> None:
        self._allow = tuple(allow)
        self._resolve = resolve
        self._limit_s = limit_s
        # Authorities of the system, or of SSL_CERT_FILE and SSL_CERT_DIR.
        self._tls = ssl.create_default_context()

    def __call__(
        self, url: str, content: bytes, headers: Mapping[str, str], *, trusted: bool = False
    ) -> Answer:
        """Post ``content`` and return what was answered. Raises Unusable, Unreachable.

        A ``trusted`` URL was set by who runs this process and may lead anywhere.
        """
        parts = check(url)
        host = parts.netloc
        backend = _Backend(
            self._resolve,
            (lambda _: True) if trusted else self._allowed,
            time.monotonic() + self._limit_s,
        )
        sent = {"Host": host, **headers, "Content-Length": str(len(content)), "Connection": "close"}
        try:
            with (
                httpcore.ConnectionPool(self._tls, network_backend=backend) as pool,
                pool.stream(
                    "POST",
                    httpcore.URL(
                        scheme=parts.scheme.encode(),
                        host=(parts.hostname or "").encode(),
                        port=parts.port,
                        target=(
                            f"{parts.path or '/'}{'?' * bool(parts.query)}{parts.query}"
                        ).encode(),
                    ),
                    headers=[(k.encode("ascii"), v.encode("latin-1")) for k, v in sent.items()],
                    content=content,
                ) as response,
            ):
                return _answer(response)
        except httpcore.TimeoutException:
            raise Unreachable(f"{host} did not answer in time") from None
        except httpcore.ConnectError as error:
            raise Unreachable(f"{host} cannot be reached: {_cause(error)}") from None
        except (httpcore.NetworkError, httpcore.ProtocolError) as error:
            raise Unreachable(f"{host} broke the connection off: {_cause(error)}") from None

    def _allowed(self, address: Address) -> bool:
        if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        return is_public(address) or any(
            address in network for network in self._allow if network.version == address.version
        )


class _Backend(httpcore.NetworkBackend):
    """Connects to the very address that was looked up and checked, all before one moment."""

    def __init__(
        self,
        resolve: Callable[..., Iterable[Any]],
        allowed: Callable[[Address], bool],
        until: float,
    ) -> None:
        self._resolve = resolve
        self._allowed = allowed
        self._until = until
        self._plain = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        try:
            found = [
                str(entry[4][0]) for entry in self._resolve(host, port, type=socket.SOCK_STREAM)
            ]
        except (OSError, UnicodeError):
            raise httpcore.ConnectError("its name is not found") from None
        for text in found:
            if not self._allowed(ip_address(text.partition("%")[0])):
                raise Unusable(
                    f"{host} leads to {text}, which is no address of the open internet: "
                    "name its network in ALPR_NOTIFY_ALLOW to let rules post there"
                )
        failed: Exception = httpcore.ConnectError("its name has no address")
        for text in dict.fromkeys(found):
            try:
                stream = self._plain.connect_tcp(text, port, min(CONNECT_S, _left(self._until)))
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failed = error
                continue
            return _Stream(stream, self._until)
        raise failed


class _Stream(httpcore.NetworkStream):
    """A stream whose every step ends before one moment, however slowly the other side drips."""

    def __init__(self, stream: httpcore.NetworkStream, until: float) -> None:
        self._stream = stream
        self._until = until

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, _left(self._until))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, _left(self._until))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.NetworkStream:
        inner = self._stream.start_tls(ssl_context, server_hostname, _left(self._until))
        return _Stream(inner, self._until)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


def _left(until: float) -> float:
    left = until - time.monotonic()
    if left <= 0:
        raise httpcore.ReadTimeout("out of time")
    return left


def _answer(response: httpcore.Response) -> Answer:
    headers = {k.decode("latin-1").lower(): v.decode("latin-1") for k, v in response.headers}
    body = b""
    for chunk in response.iter_stream():
        body += chunk[: KEPT - len(body)]
        if len(body) >= KEPT:
            break
    return Answer(
        response.status,
        _pause(headers.get("retry-after", "")),
        _host_of(headers.get("location", "")),
        body.decode("utf-8", "replace"),
    )


def _pause(text: str) -> float | None:
    """Seconds of a Retry-After, which RFC 9110 gives as a number or as a date."""
    try:
        if fullmatch(r"\d{1,9}", text.strip()):
            seconds = float(text)
        else:
            seconds = parsedate_to_datetime(text).timestamp() - time.time()
    except (ValueError, TypeError, OverflowError):
        return None
    return min(max(seconds, 0.0), _LONGEST_PAUSE_S)


def _host_of(location: str) -> str:
    try:
        return urlsplit(location).hostname or ""
    except ValueError:
        return ""


def _cause(error: BaseException) -> str:
    text = str(error)
    if "CERTIFICATE_VERIFY_FAILED" in text:
        return f"its certificate is not trusted ({text.rpartition('failed: ')[2]})"
    if "WRONG_VERSION_NUMBER" in text or "RECORD_LAYER_FAILURE" in text:
        return "it speaks no TLS there"
    return text or type(error).__name__
