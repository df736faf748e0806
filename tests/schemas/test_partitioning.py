"""A key's partition is the one that Kafka's Java client would choose."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.topics import murmur2, partition_of

# From Kafka's own tests (clients, UtilsTest.testMurmur2).
KNOWN = {
    b"21": -973932308,
    b"foobar": -790332482,
    b"a-little-bit-long-string": -985981536,
    b"a-little-bit-longer-string": -1486304829,
    b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
    b"abc": 479470107,
}


@pytest.mark.parametrize(("data", "expected"), KNOWN.items())
def test_murmur2_is_kafkas(data, expected):
    assert murmur2(data) == expected % 2**32


@pytest.mark.parametrize(("data", "expected"), KNOWN.items())
def test_the_partition_is_the_hash_without_its_sign_modulo_their_number(data, expected):
    assert partition_of(data, 32) == (expected & 0x7FFFFFFF) % 32


@given(st.binary(max_size=40), st.integers(1, 1024))
def test_every_key_has_a_partition(key, partitions):
    assert 0 <= partition_of(key, partitions) < partitions


def test_cameras_spread_over_the_partitions():
    counts = [0] * 4
    for number in range(200):
        counts[partition_of(f"cam-{number}".encode(), 4)] += 1
    assert min(counts) >= 30
