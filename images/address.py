"""Where pictures are on S3: the URL of the settings, taken apart and checked."""

import re
from dataclasses import dataclass, field
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlencode, urlsplit

REGION = "us-east-1"  # MinIO's; said, so that no request has to ask for it first

_FORM = "use s3+https://KEY:SECRET@HOST:PORT/BUCKET, or s3+http://… without TLS"
# https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_REGION = re.compile(r"[A-Za-z0-9-]{1,64}")


@dataclass(frozen=True, slots=True)
class S3Address:
    """A bucket, and the key to it. ``str`` and ``repr`` never show the secret.

    ``endpoint`` is HOST or HOST:PORT; ``ca`` the file of the authority that signed the server's
    certificate, '' for those the system trusts; ``public`` where browsers reach the same server,
    '' where they do not.
    """

    endpoint: str
    secure: bool
    key: str
    secret: str = field(repr=False)
    bucket: str
    region: str = REGION
    ca: str = ""
    public: str = ""

    @classmethod
    def parse(cls, url: str) -> "S3Address":
        """Of ``s3+http(s)://KEY:SECRET@HOST:PORT/BUCKET[?region=…&ca=FILE&public=https://HOST]``.

        Raises ValueError with cause and cure, which never repeats the secret.
        """
        if not re.match(r"s3\+https?://", url):
            raise ValueError(f"it begins with neither s3+https:// nor s3+http://: {_FORM}")
        place, *rest = re.split(r"[/?#]", url.partition("://")[2], maxsplit=1)
        account = place.rpartition("@")[0]
        key, colon, secret = account.partition(":")
        if "@" in "".join(rest) or re.search(r"[@\[\]\s\\]", account):
            raise ValueError(
                "its KEY or SECRET holds one of / ? # @ [ ] \\ or a space, or an @ stands after "
                "the host: write them as %2F %3F %23 %40 %5B %5D %5C %20"
            )
        if not (colon and key and secret):
            raise ValueError(f"it lacks KEY:SECRET@ before the host: {_FORM}")
        try:
            parts = urlsplit(url)
        except ValueError:  # whose text repeats the secret
            raise ValueError(f"it holds signs to be written as %XX: {_FORM}") from None
        bucket = parts.path.strip("/")
        if not _BUCKET.fullmatch(bucket):
            raise ValueError(
                f"the bucket {bucket!r} cannot be: 3 to 63 lower-case letters, digits, '-' and "
                "'.', such as alpr-plate-images"
            )
        more = _query(parts)
        return cls(
            endpoint=_host(parts),
            secure=parts.scheme == "s3+https",
            key=unquote(key),
            secret=unquote(secret),
            bucket=bucket,
            region=more.get("region", REGION),
            ca=more.get("ca", ""),
            public=_public(more.get("public", "")),
        )

    @property
    def where(self) -> str:
        """The bucket for messages: ``alpr-plate-images on s3.example:9000``."""
        return f"{self.bucket} on {self.endpoint}"

    @property
    def shown(self) -> str:
        """The URL with its secret masked, to print."""
        given = {"region": self.region, "ca": self.ca, "public": self.public}
        said = {name: value for name, value in given.items() if value not in ("", REGION)}
        more = "?" + urlencode(said, safe=":/") if said else ""
        scheme = "s3+https" if self.secure else "s3+http"
        return f"{scheme}://{quote(self.key, safe='')}:***@{self.endpoint}/{self.bucket}{more}"

    def __str__(self) -> str:
        return self.shown


def _host(parts: SplitResult) -> str:
    try:
        port = parts.port
    except ValueError:
        raise ValueError(f"its port is not a number up to 65535: {_FORM}") from None
    if not parts.hostname:
        raise ValueError(f"it names no host: {_FORM}")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return host if port is None else f"{host}:{port}"


def _query(parts: SplitResult) -> dict[str, str]:
    more = dict(parse_qsl(parts.query, keep_blank_values=True))
    unknown = sorted(set(more) - {"region", "ca", "public"})
    if unknown:
        raise ValueError(f"it has no option {unknown[0]!r}: there are region, ca and public")
    empty = sorted(name for name, value in more.items() if not value)
    if empty:
        raise ValueError(f"its option {empty[0]} is empty: give it a value or leave it out")
    if not _REGION.fullmatch(more.get("region", REGION)):
        raise ValueError(f"the region {more['region']!r} cannot be: give one such as {REGION}")
    return more


def _public(text: str) -> str:
    if not text:
        return ""
    parts = urlsplit(text)
    plain = parts.scheme in ("http", "https") and parts.path in ("", "/") and not parts.query
    if not plain or "@" in parts.netloc:
        raise ValueError(f"public={text!r} is not https://HOST:PORT, as browsers reach the server")
    return f"{parts.scheme}://{_host(parts)}"
