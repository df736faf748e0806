"""The URL of the pictures' bucket: what it may say, and what is told of one that cannot be."""

import re

import pytest

from images.address import S3Address

URL = "s3+https://alpr:se%2Fcr+et@s3.example:9000/alpr-plate-images"


def test_a_url_says_everything_and_the_key_may_hold_any_sign():
    address = S3Address.parse(URL + "?region=eu-central-1&ca=/etc/ca.pem&public=https://p.example")
    assert address == S3Address(
        endpoint="s3.example:9000",
        secure=True,
        key="alpr",
        secret="se/cr+et",
        bucket="alpr-plate-images",
        region="eu-central-1",
        ca="/etc/ca.pem",
        public="https://p.example",
    )


def test_without_options_there_is_minios_region_the_systems_authorities_and_no_public_host():
    address = S3Address.parse("s3+http://a:b@[::1]:9000/pictures/")
    assert (address.endpoint, address.secure, address.bucket) == ("[::1]:9000", False, "pictures")
    assert (address.region, address.ca, address.public) == ("us-east-1", "", "")


@pytest.mark.parametrize("text", [str, repr, lambda address: address.shown, "{0.where} {0}".format])
def test_the_secret_is_never_shown(text):
    address = S3Address.parse(URL)
    assert "cr" not in text(address).replace("secret", "")
    assert "alpr-plate-images" in text(address)


def test_what_is_shown_is_the_url_with_its_secret_masked():
    more = "?region=eu-west-1&ca=/etc/ca.pem&public=https://p.example"
    assert S3Address.parse(URL + more).shown == (
        "s3+https://alpr:***@s3.example:9000/alpr-plate-images" + more
    )


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("s3://alpr-plate-images", "begins with neither s3+https:// nor s3+http://"),
        ("s3+https://s3.example/bucket", "lacks KEY:SECRET@"),
        ("s3+https://key@s3.example/bucket", "lacks KEY:SECRET@"),
        ("s3+https://key:@s3.example/bucket", "lacks KEY:SECRET@"),
        ("s3+https://key:hush/hush@s3.example/bucket", "write them as %2F"),
        ("s3+https://key:hush?hush@s3.example/bucket", "write them as %2F"),
        ("s3+https://key:x@x/hush@s3.example/bucket", "write them as %2F"),
        ("s3+https://key:[hush]@s3.example/bucket", "write them as %2F"),
        ("s3+https://key:hu\u2100sh@s3.example/bucket", "holds signs to be written as %XX"),
        ("s3+https://key:hush@:9000/bucket", "names no host"),
        ("s3+https://key:hush@s3.example:90000/bucket", "port"),
        ("s3+https://key:hush@s3.example:x/bucket", "port"),
        ("s3+https://key:hush@s3.example", "the bucket '' cannot be"),
        ("s3+https://key:hush@s3.example/Bucket", "the bucket 'Bucket' cannot be"),
        ("s3+https://key:hush@s3.example/a/b", "the bucket 'a/b' cannot be"),
        ("s3+https://key:hush@s3.example/bucket?regoin=x", "no option 'regoin'"),
        ("s3+https://key:hush@s3.example/bucket?region=", "option region is empty"),
        ("s3+https://key:hush@s3.example/bucket?region=a%20b", "region 'a b' cannot be"),
        ("s3+https://key:hush@s3.example/bucket?public=p.example", "is not https://HOST:PORT"),
        (
            "s3+https://key:hush@s3.example/bucket?public=https://a:hush@p",
            "an @ stands after the host",
        ),
        ("s3+https://key:hush@s3.example/bucket?public=https://p/x", "is not https://HOST:PORT"),
    ],
)
def test_a_url_that_cannot_be_is_told_with_its_cure_and_without_its_secret(url: str, told: str):
    with pytest.raises(ValueError, match=re.escape(told)) as raised:
        S3Address.parse(url)
    assert "hush" not in str(raised.value)
