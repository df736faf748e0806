"""Talks to OpenSearch: its URL, who may, and what its refusals mean."""

import logging
import ssl
from base64 import b64encode
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from opensearchpy import OpenSearch
from opensearchpy.exceptions import ConnectionError as NoConnection
from opensearchpy.exceptions import SerializationError, SSLError, TransportError

from projections.errors import AccessRefused, ViewMismatch, ViewUnavailable

_OLDEST = (2, 15)  # the field type `wildcard`
_TIMEOUT_S = 30
_BUSY = (429, 500, 502, 503, 504)
# Told as 400 and 403; both are an operator's doing, and end when the operator ends them.
_HELD = ("index_closed_exception", "cluster_block_exception")


class SearchServer:
    """A client of one OpenSearch; any number of threads may share it.

    ``url`` is ``http(s)://[USER:PASSWORD@]HOST[:PORT][/PREFIX][?ca=FILE]``; no message holds its
    password. Connects when first asked.
    """

    def __init__(self, url: str, timeout_s: float = _TIMEOUT_S) -> None:
        parts = urlsplit(url)
        ca = parse_qs(parts.query).get("ca", [""])[0]
        if ca and not Path(ca).is_file():
            raise AccessRefused(f"ca={ca} in ALPR_SEARCH_URL is no file: name the CA's certificate")
        secure = parts.scheme == "https"
        port = parts.port or (443 if secure else 9200)
        self.place = f"OpenSearch at {parts.hostname}:{port}"
        headers = {}
        if parts.username is not None:
            account = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
            headers["authorization"] = f"Basic {b64encode(account.encode()).decode()}"
        # The client logs each failed request with its traceback: what fails is told by who asked.
        logging.getLogger("opensearch").setLevel(logging.CRITICAL)
        self._client = OpenSearch(
            hosts=[{"host": parts.hostname, "port": port, "url_prefix": parts.path.strip("/")}],
            headers=headers,
            use_ssl=secure,
            ca_certs=ca or None,
            timeout=timeout_s,
            max_retries=0,
        )

    def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        params: Mapping[str, Any] | None = None,
    ) -> Any:
        """The answer to one request, decoded.

        Raises ViewUnavailable (no answer, too busy, closed or blocked: try again), AccessRefused,
        ViewMismatch (this is no OpenSearch), and what is left of the client's TransportError: 400,
        404, 409 and 413, which only the asker understands.
        """
        try:
            return self._client.transport.perform_request(
                method, path, params=dict(params or {}), body=body
            )
        except SSLError as error:
            raise self._untrusted(error) from error
        except NoConnection as error:
            raise ViewUnavailable(
                f"{self.place} does not answer: {error.error}; start it, or set ALPR_SEARCH_URL to "
                "where it is"
            ) from error
        except SerializationError as error:
            raise ViewMismatch(
                f"{self.place} does not answer as OpenSearch does ({error}): "
                "is ALPR_SEARCH_URL right?"
            ) from error
        except TransportError as error:
            raise self._told(error) from error

    def check(self) -> None:
        """Raise ViewMismatch unless this is an OpenSearch that the view can live in."""
        try:
            version = self.ask("GET", "/")["version"]
            number = version["number"]
            known = version.get("distribution") == "opensearch"
        except (TransportError, KeyError, TypeError, AttributeError) as error:
            raise ViewMismatch(
                f"{self.place} does not answer as OpenSearch does: is ALPR_SEARCH_URL right?"
            ) from error
        if not known or tuple(map(int, number.split(".")[:2])) < _OLDEST:
            raise ViewMismatch(
                f"{self.place} is {version.get('distribution', 'not OpenSearch')} {number}; "
                f"the view needs OpenSearch {'.'.join(map(str, _OLDEST))} or newer"
            )

    def close(self) -> None:
        """Release the connections."""
        self._client.close()

    def _untrusted(self, error: SSLError) -> Exception:
        reason = str(error.error)
        if isinstance(error.info, ssl.SSLCertVerificationError) or "VERIFY_FAILED" in reason:
            return AccessRefused(
                f"{self.place} shows a certificate that is not trusted ({reason}): name the file "
                "of its CA by ?ca=FILE in ALPR_SEARCH_URL"
            )
        if "WRONG_VERSION_NUMBER" in reason or "RECORD_LAYER_FAILURE" in reason:
            return AccessRefused(f"{self.place} does not speak TLS: use http:// in ALPR_SEARCH_URL")
        return ViewUnavailable(f"{self.place} does not answer: {reason}")

    def _told(self, error: TransportError) -> Exception:
        kind, reason = str(error.error), _reason(error)
        if error.status_code in _BUSY or kind in _HELD:
            return ViewUnavailable(f"{self.place} cannot now: {error.status_code} {reason}")
        if error.status_code == 401:
            return AccessRefused(
                f"{self.place} does not take the user and password of ALPR_SEARCH_URL: mend them"
            )
        if error.status_code == 403:
            return AccessRefused(
                f"{self.place} does not let the user of ALPR_SEARCH_URL do this ({reason}): it "
                "needs the rights listed in docs/search.md"
            )
        return error


def _reason(error: TransportError) -> str:
    info = error.info
    told = info.get("error", {}) if isinstance(info, dict) else {}
    if isinstance(told, dict):
        return str(told.get("reason", error.error))
    return str(told)
