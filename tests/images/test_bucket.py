"""The bucket itself, on a real MinIO: tags, life cycle, links, and whom it refuses."""

import os
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from shutil import which
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from minio.commonconfig import ENABLED, Filter
from minio.lifecycleconfig import Expiration, LifecycleConfig, Rule

from images.address import S3Address
from images.s3 import RULE, Bucket, S3Store, object_tags
from images.store import ImageError, NoPicture, StoreAway, StoreBusy
from tests.images.conftest import JPEG, made
from tests.servers import Minio, free_port

NAME = "2026-11-21/CAM-1/t-1-120-plate.jpg"
TAGS = {
    "camera_id": "CAM-1",
    "track_id": "t-1a2b-1",
    "plate_text": "34A\n231ÄÖ京<&>",
    "quality_score": "0.85",
}


def test_a_picture_has_its_type_and_its_tags_in_signs_that_s3_takes(bucket: Bucket):
    bucket.put(NAME, JPEG, TAGS)
    name = bucket.address.bucket
    assert bucket._client.stat_object(name, NAME).content_type == "image/jpeg"
    assert bucket._client.get_object_tags(name, NAME) == {
        **TAGS,
        "plate_text": "34A_231______",
    }


def test_any_tags_can_be_sent(bucket: Bucket):
    many = {f"tag {number}": "x" * 300 for number in range(20)}
    bucket.put(NAME, JPEG, many)
    kept = bucket._client.get_object_tags(bucket.address.bucket, NAME)
    assert kept == {f"tag {number}": "x" * 256 for number in range(10)}


@given(st.dictionaries(st.text(max_size=200), st.text(max_size=300), max_size=15))
def test_tags_keep_to_the_limits_of_s3(tags: dict[str, str]):
    taken = object_tags(tags) or {}
    assert len(taken) <= 10
    for key, value in taken.items():
        assert 1 <= len(key) <= 128
        assert len(value) <= 256
        assert (key + value).isascii()


def test_pictures_end_after_the_retention_and_other_rules_stay(bucket: Bucket):
    client, name = bucket._client, bucket.address.bucket
    other = Rule(
        ENABLED,
        rule_filter=Filter(prefix="tmp/"),
        rule_id="other",
        expiration=Expiration(days=1),
    )
    client.set_bucket_lifecycle(name, LifecycleConfig([other]))
    for days in (90, 30):
        bucket.ensure(days)
        cycle = client.get_bucket_lifecycle(name)
        assert cycle is not None
        found = {rule.rule_id: rule.expiration for rule in cycle.rules}
        assert {rule: left.days for rule, left in found.items() if left} == {RULE: days, "other": 1}


def test_a_bucket_is_not_open_to_anyone_and_one_that_is_is_refused(bucket: Bucket):
    bucket.put(NAME, JPEG)
    plain = f"{bucket.address.public}/{bucket.address.bucket}/{NAME}"
    assert httpx.get(plain).status_code == 403
    bucket._client.set_bucket_policy(
        bucket.address.bucket,
        '{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": {"AWS": ["*"]},'
        f'"Action": ["s3:GetObject"], "Resource": ["arn:aws:s3:::{bucket.address.bucket}/*"]}}]}}',
    )
    with pytest.raises(ImageError, match=r"open to everyone.*mc anonymous set none"):
        bucket.ensure(90)


def test_a_link_gives_the_picture_to_a_browser_for_five_minutes(bucket: Bucket, store: S3Store):
    bucket.put(NAME, JPEG)
    link = store.link(f"images/{NAME}")
    assert link is not None
    answer = httpx.get(link)
    assert (answer.status_code, answer.content) == (200, JPEG)
    assert answer.headers["content-type"] == "image/jpeg"
    assert parse_qs(urlsplit(link).query)["X-Amz-Expires"] == ["300"]
    assert bucket.address.secret not in link
    forged = link.replace("plate.jpg", "frame.jpg")
    bucket.put(NAME.replace("plate.jpg", "frame.jpg"), JPEG)
    assert httpx.get(forged).status_code == 403


def test_a_link_to_a_picture_that_is_gone_is_answered_404_by_s3(store: S3Store):
    link = store.link("images/gone.jpg")
    assert link is not None
    assert httpx.get(link).status_code == 404


def test_a_picture_that_is_not_there_yet_has_no_link(store: S3Store):
    url = store.put(NAME, JPEG)
    assert store.link(url) is None
    assert store.get(url) == JPEG


def test_without_a_public_host_there_are_no_links(bucket: Bucket):
    assert Bucket(replace(bucket.address, public="")).link(NAME) is None


def test_making_links_asks_nobody():
    away = S3Address.parse(
        f"s3+http://a:b@127.0.0.1:{free_port()}/pictures?public=http://p.example"
    )
    assert (Bucket(away).link(NAME) or "").startswith("http://p.example/pictures/2026-11-21/")


def test_what_refuses_us_is_told_with_its_cure(bucket: Bucket):
    address = bucket.address
    for wrong, told in (
        (replace(address, secret="wrong"), "refuses the secret: correct SECRET"),
        (replace(address, key="nobody"), "does not know the key: correct KEY"),
        (replace(address, bucket="alpr-test-none"), "no bucket: make it with `alpr topics create`"),
        (replace(address, endpoint=f"127.0.0.1:{free_port()}"), "cannot be reached: .*refused"),
        (replace(address, secure=True), "speaks no TLS there; use s3\\+http://"),
    ):
        for ask in (Bucket(wrong).check, lambda wrong=wrong: Bucket(wrong).put(NAME, JPEG)):
            with pytest.raises(StoreAway, match=told) as raised:
                ask()
            assert wrong.where in str(raised.value)
            assert address.secret not in str(raised.value)


def test_a_file_of_an_authority_that_cannot_be_read_is_named(tmp_path: Path):
    none = tmp_path / "none.pem"
    wrong = tmp_path / "wrong.pem"
    wrong.write_text("no certificate")
    for ca in (none, wrong):
        with pytest.raises(ImageError, match=f"ca={ca}.*PEM file"):
            Bucket(S3Address.parse(f"s3+https://a:b@127.0.0.1:1/pictures?ca={ca}"))


class MinioWithTls(Minio):
    """MinIO with a certificate that it signed itself."""

    def start(self) -> None:
        subprocess.run(
            [
                *("openssl", "req", "-x509", "-newkey", "ec", "-nodes", "-days", "2"),
                *("-pkeyopt", "ec_paramgen_curve:prime256v1", "-subj", "/CN=s3 of a test"),
                *("-addext", "subjectAltName=IP:127.0.0.1", "-keyout", "private.key"),
                *("-out", "public.crt"),
            ],
            cwd=self.folder,
            check=True,
            capture_output=True,
        )
        super().start()

    def command(self) -> Sequence[str]:
        return [*super().command(), "--certs-dir", str(self.folder)]

    def ready(self) -> bool:
        try:
            address = f"https://{self.endpoint}/minio/health/ready"
            return httpx.get(address, verify=False).status_code == 200
        except httpx.TransportError:
            return False


@pytest.mark.skipif(which("openssl") is None, reason="no openssl to make a certificate with")
def test_with_tls_the_certificate_must_come_from_the_authority_that_is_named(
    own_server: Callable[..., Any],
):
    server = own_server(MinioWithTls)
    plain = S3Address.parse(server.url.replace("s3+http", "s3+https"))
    bucket = made(replace(plain, ca=str(server.folder / "public.crt")))
    bucket.put(NAME, JPEG)
    assert bucket.get(NAME) == JPEG
    with pytest.raises(NoPicture):
        bucket.get("nothing.jpg")
    with pytest.raises(StoreAway, match=r"certificate is not trusted.*\?ca=FILE"):
        Bucket(plain).get(NAME)


@pytest.mark.slow
def test_a_server_that_is_only_starting_gets_its_bucket_and_its_pictures(
    own_server: Callable[..., Any], tmp_path: Path
):
    """MinIO refuses connections first and then answers 503 for some time."""
    server = own_server(Minio)
    server.kill()
    bucket = Bucket(S3Address.parse(server.url))
    with pytest.raises(StoreBusy, match="cannot be reached"):
        bucket.ensure(90, patience_s=0)
    command, environ = server.command(), {**os.environ, **server.environ()}
    with subprocess.Popen(
        command, env=environ, cwd=tmp_path, stdout=subprocess.DEVNULL
    ) as starting:
        try:
            bucket.ensure(90)
            bucket.put(NAME, JPEG, TAGS)
            assert bucket.get(NAME) == JPEG
        finally:
            starting.kill()


def test_a_server_that_does_not_come_is_not_waited_for_longer_than_told():
    bucket = Bucket(S3Address.parse(f"s3+http://key:secret@127.0.0.1:{free_port()}/pictures"))
    waits: list[float] = []
    with pytest.raises(StoreBusy, match="Connection refused"):
        bucket.ensure(90, patience_s=10, sleep=waits.append)
    assert waits == [0.1, 0.2, 0.4, 0.8, 1.6, 2.0, 2.0, 2.0, 2.0]
