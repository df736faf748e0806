"""Pictures in a bucket of MinIO or any other S3, on the ``minio`` client."""

import json
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from io import BytesIO
from typing import Any
from xml.etree.ElementTree import ParseError

import urllib3
from minio import Minio
from minio.commonconfig import ENABLED, Filter, Tags
from minio.error import InvalidResponseError, S3Error, ServerError
from minio.lifecycleconfig import Expiration, LifecycleConfig, Rule

from images.address import S3Address
from images.cache import PictureCache
from images.store import NO_TAGS, PREFIX, ImageError, NoPicture, StoreAway, StoreBusy, name_of

CONNECT_S, READ_S = 3.0, 15.0  # seconds; a picture is some ten kilobytes
CONNECTIONS = 16  # kept open; the API answers more at once than the edge sends
PATIENCE_S = 30.0  # with a server that is asked for the first time: it may just be starting
PAUSES_S = (0.1, 2.0)  # between two tries, at first and at most
_BUSY = (429, 500, 502, 503, 504)
LINK_FOR = timedelta(minutes=5)
RULE = "alpr-retention"

# https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-tagging.html
_TAGS, _TAG_KEY, _TAG_VALUE = 10, 128, 256
_TAG_SIGNS = frozenset(" +-=._:/@")

_REFUSED = {
    "InvalidAccessKeyId": "does not know the key: correct KEY in ALPR_IMAGES_URL",
    "SignatureDoesNotMatch": "refuses the secret: correct SECRET in ALPR_IMAGES_URL",
    "AccessDenied": "does not let the key do this: give it s3:PutObject, s3:PutObjectTagging, "
    "s3:GetObject, s3:DeleteObject and s3:ListBucket",
    "NoSuchBucket": "is no bucket: make it with `alpr topics create`",
    "RequestTimeTooSkewed": "says that the clock of this machine is wrong: set it",
    "XMinioStorageFull": "has no room left: make some there, or shorten the retention",
}


class Bucket:
    """The bucket itself; everything here is a request and takes as long as one.

    Each method raises StoreAway where the server cannot be reached or refuses, with cause and
    cure. Safe for several threads.
    """

    def __init__(self, address: S3Address) -> None:
        """Asks nothing yet. Raises ImageError for a file of an authority that cannot be read."""
        self.address = address
        self._client = _client(address, address.endpoint, secure=address.secure)
        self._signer = None
        if address.public:
            scheme, _, host = address.public.partition("://")
            self._signer = _client(address, host, secure=scheme == "https")

    def put(self, name: str, jpeg: bytes, tags: Mapping[str, str] = NO_TAGS) -> None:
        """Send a picture; one of the same name is replaced."""
        with self._told():
            self._client.put_object(
                self.address.bucket,
                name,
                BytesIO(jpeg),
                len(jpeg),
                content_type="image/jpeg",
                tags=object_tags(tags),
            )

    def get(self, name: str) -> bytes:
        """A picture. Raises NoPicture, too."""
        with self._told(name):
            answer = self._client.get_object(self.address.bucket, name)
            try:
                return answer.read()
            finally:
                answer.close()
                answer.release_conn()

    def delete(self, name: str) -> None:
        """Remove a picture if it is there."""
        with self._told():
            self._client.remove_object(self.address.bucket, name)

    def delete_folder(self, name: str) -> int:
        """Remove all pictures below a name; how many."""
        with self._told():
            bucket = self.address.bucket
            below = self._client.list_objects(bucket, prefix=f"{name}/", recursive=True)
            count = 0
            for one in below:
                self._client.remove_object(bucket, one.object_name or "")
                count += 1
            return count

    def link(self, name: str) -> str | None:
        """A signed address for ``LINK_FOR``, made without asking; None without ``public``."""
        if self._signer is None:
            return None
        return self._signer.presigned_get_object(self.address.bucket, name, LINK_FOR)

    def check(self) -> None:
        """Ask whether the bucket is there for our key."""
        with self._told():
            next(iter(self._client.list_objects(self.address.bucket, prefix="none/")), None)

    def ensure(
        self,
        retention_days: int,
        patience_s: float = PATIENCE_S,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Make the bucket if there is none, and let its pictures end after so many days.

        Rules of others in its life cycle stay. A server that has just started, and does not answer
        yet, is asked again for ``patience_s`` seconds. Raises ImageError for a bucket that is open
        to everyone.
        """
        pause, left = PAUSES_S[0], patience_s
        while True:
            try:
                return self._ensure(retention_days)
            except StoreBusy:
                if left <= 0:
                    raise
            sleep(pause)
            left -= pause
            pause = min(2 * pause, PAUSES_S[1])

    def _ensure(self, retention_days: int) -> None:
        bucket = self.address.bucket
        with self._told():
            if not self._client.bucket_exists(bucket):
                try:
                    self._client.make_bucket(bucket)
                except S3Error as error:
                    if error.code != "BucketAlreadyOwnedByYou":  # by another, at the same time
                        raise
            if _lets_everyone(self._policy()):
                raise ImageError(
                    f"{self.address.where} is open to everyone: take its policy away, such as by "
                    f"`mc anonymous set none ALIAS/{bucket}`"
                )
            cycle = self._client.get_bucket_lifecycle(bucket)
            others = [rule for rule in (cycle.rules if cycle else []) if rule.rule_id != RULE]
            ours = Rule(
                ENABLED,
                rule_filter=Filter(prefix=""),
                rule_id=RULE,
                expiration=Expiration(days=retention_days),
            )
            self._client.set_bucket_lifecycle(bucket, LifecycleConfig([*others, ours]))

    def _policy(self) -> Mapping[str, Any]:
        try:
            return json.loads(self._client.get_bucket_policy(self.address.bucket))
        except S3Error as error:
            if error.code == "NoSuchBucketPolicy":
                return {}
            raise

    @contextmanager
    def _told(self, name: str = "") -> Iterator[None]:
        where = self.address.where
        try:
            yield
        except S3Error as error:
            if name and error.code == "NoSuchKey":
                raise NoPicture(f"there is no picture {name} in {where}") from error
            told = _REFUSED.get(error.code or "", f"answers {error.code}: {error.message}")
            kind = StoreBusy if error.response.status in _BUSY else StoreAway
            raise kind(f"{where} {told}") from error
        except ServerError as error:
            if error.status_code in _BUSY:
                raise StoreBusy(
                    f"{where} cannot answer yet ({error.status_code}): it has just started, or has "
                    "too much to do; look at its own log if that lasts"
                ) from error
            raise StoreAway(f"{where} does not answer as S3 does: {error}") from error
        except (InvalidResponseError, ParseError) as error:
            raise StoreAway(f"{where} does not answer as S3 does: {error}") from error
        except urllib3.exceptions.SSLError as error:
            raise StoreAway(f"{where} cannot be reached: {_cause(error)}") from error
        except urllib3.exceptions.HTTPError as error:
            lasting = isinstance(getattr(error, "reason", None), urllib3.exceptions.SSLError)
            kind = StoreAway if lasting else StoreBusy
            raise kind(f"{where} cannot be reached: {_cause(error)}") from error


class S3Store:
    """Pictures in a bucket, sent from a cache on this machine by who runs an ``Uploads``.

    An address is ``images/NAME``, as of a folder: it names neither host nor bucket, both of which
    may change while the log keeps the address for ever.
    """

    def __init__(self, bucket: Bucket, cache: PictureCache) -> None:
        self._bucket = bucket
        self._cache = cache

    @property
    def origin(self) -> str:
        """Where ``link`` leads to."""
        return self._bucket.address.public

    def put(self, name: str, jpeg: bytes, tags: Mapping[str, str] = NO_TAGS) -> str:
        """Write to the cache, where it waits to be sent."""
        url = PREFIX + name
        self._cache.add(name_of(url), jpeg, tags)
        return url

    def get(self, url: str) -> bytes:
        """From the cache of this machine, or else from the bucket."""
        name = name_of(url)
        here = self._cache.read(name)
        return self._bucket.get(name) if here is None else here

    def link(self, url: str) -> str | None:
        """A signed address; None where browsers do not reach the bucket or it is not there yet."""
        name = name_of(url)
        return None if self._cache.waits(name) else self._bucket.link(name)

    def delete(self, url: str) -> None:
        """Remove it here and in the bucket; on other machines it may stay until cleaned up."""
        name = name_of(url)
        try:
            self._cache.remove(name)
        except OSError as error:
            raise ImageError(f"picture {url} cannot be removed: {error.strerror}") from error
        self._bucket.delete(name)

    def delete_folder(self, url: str) -> int:
        """Remove a folder here and in the bucket."""
        name = name_of(url)
        self._cache.remove_folder(name)
        return self._bucket.delete_folder(name)


def object_tags(tags: Mapping[str, str]) -> Tags | None:
    """Tags as S3 takes them: at most 10, other signs than its own as ``_``; None for none."""
    taken = Tags.new_object_tags()
    for key, value in list(tags.items())[:_TAGS]:
        if allowed := _allowed(key, _TAG_KEY):
            taken[allowed] = _allowed(value, _TAG_VALUE)
    return taken or None


def _allowed(text: str, length: int) -> str:
    # S3 takes letters of any script, MinIO those of ASCII alone.
    plain = (c if (c.isascii() and c.isalnum()) or c in _TAG_SIGNS else "_" for c in text)
    return "".join(plain)[:length]


def _client(address: S3Address, endpoint: str, *, secure: bool) -> Minio:
    pool: dict[str, Any] = {}
    if secure:
        try:
            pool["ssl_context"] = ssl.create_default_context(cafile=address.ca or None)
        except OSError as error:  # ssl.SSLError is one
            raise ImageError(
                f"ca={address.ca} of ALPR_IMAGES_URL cannot be used: {error}; name the PEM file "
                "of the authority that signed the certificate of S3"
            ) from error
    http = urllib3.PoolManager(
        maxsize=CONNECTIONS,
        timeout=urllib3.Timeout(connect=CONNECT_S, read=READ_S),
        # Once more where a server closed an idle connection just as it was used again.
        retries=urllib3.Retry(1, connect=0, redirect=0, status=0, respect_retry_after_header=False),
        **pool,
    )
    return Minio(
        endpoint,
        address.key,
        address.secret,
        secure=secure,
        region=address.region,
        http_client=http,
    )


def _cause(error: BaseException) -> str:
    reason = getattr(error, "reason", None) or error
    text = str(reason)
    if "CERTIFICATE_VERIFY_FAILED" in text:
        return (
            f"its certificate is not trusted ({text.rpartition('failed: ')[2]}); name the PEM file "
            "of the authority that signed it by ?ca=FILE in ALPR_IMAGES_URL"
        )
    if "WRONG_VERSION_NUMBER" in text:
        return "it speaks no TLS there; use s3+http:// or another port"
    if isinstance(reason, urllib3.exceptions.NewConnectionError):  # also a ConnectTimeoutError
        return text.rpartition(": ")[2]
    if isinstance(reason, urllib3.exceptions.TimeoutError):
        return "no answer in time"
    return text


def _lets_everyone(policy: Mapping[str, Any]) -> bool:
    statements = policy.get("Statement", [])
    for statement in statements if isinstance(statements, list) else [statements]:
        who = statement.get("Principal")
        named = who.get("AWS", []) if isinstance(who, dict) else who
        named = [named] if isinstance(named, str) else named or []
        if statement.get("Effect") == "Allow" and "*" in named:
            return True
    return False
