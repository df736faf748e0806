"""Serving an application over HTTP: beyond this machine only if it asks for keys."""

import errno
import ipaddress
import logging
import signal
import socket
import ssl
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import uvicorn
from fastapi import FastAPI

# Seconds that requests have to end after a signal; streams are let go at once.
_GRACE = 5
_TICKS = 100  # uvicorn's, of a tenth of a second: how often the certificate's files are looked at
_log = logging.getLogger(__name__)


class ServeError(Exception):
    """The server cannot start; the message names the address, the cause and the cure."""


@dataclass(frozen=True, slots=True)
class Certificate:
    """PEM files of a certificate with its chain, and of its key, which has no passphrase."""

    chain: Path
    key: Path

    def stamp(self) -> tuple[int, int]:
        """What tells that either file was written anew. Raises OSError."""
        return self.chain.stat().st_mtime_ns, self.key.stat().st_mtime_ns

    def load(self, context: ssl.SSLContext) -> None:
        """Give it to who connects from now on. Raises ServeError."""
        try:
            # Tried first: a chain and a key that do not go together would break the context.
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(
                self.chain, self.key, password=_no_passphrase
            )
            context.load_cert_chain(self.chain, self.key, password=_no_passphrase)
        except (OSError, ssl.SSLError, ValueError) as error:
            said = error.reason if isinstance(error, ssl.SSLError) else error
            raise ServeError(
                f"TLS by {self.chain} and {self.key} is not possible: {said}; ALPR_TLS_CERT and "
                "ALPR_TLS_KEY name PEM files that belong together, the key without a passphrase"
            ) from error


class Server(uvicorn.Server):
    """Ends the live streams before it waits for connections, which they would hold open.

    ``proxies`` are the addresses whose X-Forwarded-For and -Proto are believed; nobody's unless
    named, whatever the environment tells uvicorn. With a ``certificate`` it speaks https, and
    takes up one that is written anew within 10 s. Raises ServeError where it cannot be used.
    """

    def __init__(
        self, app: FastAPI, proxies: Sequence[str] = (), certificate: Certificate | None = None
    ) -> None:
        self._certificate = certificate
        self._context: ssl.SSLContext | None = None
        if certificate is not None:
            self._context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            certificate.load(self._context)
            self._stamp = certificate.stamp()
        super().__init__(
            uvicorn.Config(
                app,
                log_config=None,
                access_log=False,  # it would show what was searched for
                server_header=False,
                proxy_headers=bool(proxies),
                forwarded_allow_ips=list(proxies),
                timeout_graceful_shutdown=_GRACE,
                ssl_context_factory=self._tls if certificate else None,
            )
        )
        self._streams = app.state.feeds

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Let go of every listener, then end as uvicorn does."""
        for feed in self._streams:
            feed.close()
        await super().shutdown(sockets)

    def _tls(self, *_: object) -> ssl.SSLContext:
        assert self._context is not None
        return self._context

    async def on_tick(self, counter: int) -> bool:
        """Look at the certificate now and then."""
        if counter % _TICKS == 0:
            self._renew()
        return await super().on_tick(counter)

    def _renew(self) -> None:
        if self._certificate is None or self._context is None:
            return
        try:
            stamp = self._certificate.stamp()
            if stamp == self._stamp:
                return
            self._certificate.load(self._context)
        except (OSError, ServeError) as error:
            _log.warning("the certificate of before is kept: %s", error)
            return
        self._stamp = stamp
        _log.info("the certificate was written anew and is taken up")


def serve(
    app: FastAPI,
    host: str = "127.0.0.1",
    port: int = 8000,
    proxies: Sequence[str] = (),
    certificate: Certificate | None = None,
) -> None:
    """Serve until SIGINT or SIGTERM, then return, so that the caller can put away what it opened.

    Raises ServeError before anything listens. An application that asks for no key is served on
    loopback alone.
    """
    address = _address(host, beyond=app.state.authenticated)
    with closing(_listen(address, port)) as listener, _returning_on_signals():
        Server(app, proxies, certificate).run(sockets=[listener])


@contextmanager
def _returning_on_signals() -> Iterator[None]:
    """uvicorn raises again, to whom it found, the signal that ended it: let it find nobody."""
    before = {
        number: signal.signal(number, lambda *_: None) for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _no_passphrase() -> str:
    raise ValueError("the key has a passphrase")  # or OpenSSL would ask for it at the terminal


def _address(host: str, beyond: bool) -> str:
    if host == "localhost":
        return "127.0.0.1"
    try:
        if beyond or ipaddress.ip_address(host).is_loopback:
            return str(ipaddress.ip_address(host))
    except ValueError:
        raise ServeError(
            f"{host!r} is no address of this machine: give one such as 127.0.0.1, 0.0.0.0 or "
            "localhost"
        ) from None
    raise ServeError(
        f"{host} is reachable from other machines, and this application asks for no key: give "
        "127.0.0.1, or serve one made with keys"
    )


def _listen(host: str, port: int) -> socket.socket:
    if not 0 <= port <= 65535:
        raise ServeError(f"port {port} does not exist: give one from 1 to 65535, or 0 for any")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # With the protocol named asyncio sets TCP_NODELAY; without, each answer's body waits 40 ms
    # for the acknowledgement of its head.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(128)
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            raise ServeError(
                f"port {port} of {host} is in use: stop what listens there, or give another "
                f"such as --port {port + 1 if port < 65535 else 8000}"
            ) from error
        raise ServeError(f"{host}, port {port}: {error.strerror}; give another port") from error
    return listener
