"""Avro's numbers: zigzag, so that small ones are short, seven bits to a byte, the lowest first.

https://avro.apache.org/docs/1.12.0/specification/#primitive-types-1
"""

from operator import index
from struct import Struct

SMALL = 8192
_FOURTEEN = 1 << 14

_WORD = Struct("<Q")


def _bytes(bits: int) -> bytes:
    out = bytearray()
    while bits > 127:
        out.append(bits & 127 | 128)
        bits >>= 7
    out.append(bits)
    return bytes(out)


NUMBERS = tuple([_bytes(number << 1) for number in range(SMALL)])
"""The bytes of 0 to SMALL - 1."""
_LAST = tuple([_bytes(bits) for bits in range(_FOURTEEN)])
_MORE = tuple([bytes((bits & 127 | 128, bits >> 7 | 128)) for bits in range(_FOURTEEN)])


def long_bytes(number: int, bits: int = 64) -> bytes:
    """A whole number's bytes; raises TypeError for what is none, OverflowError if too large."""
    number = index(number)
    zigzag = number << 1 if number >= 0 else ~(number << 1)
    if zigzag >> bits:
        raise OverflowError(f"{number} needs more than {bits} bits")
    out = b""
    while zigzag >= _FOURTEEN:
        out += _MORE[zigzag & _FOURTEEN - 1]
        zigzag >>= 14
    return out + _LAST[zigzag]


def time_bytes(number: int) -> bytes:
    """``long_bytes``, quicker for numbers of seven and eight bytes, as times of our days are."""
    if 1 << 41 <= number < 1 << 55:
        zigzag = index(number) << 1
        return (
            _MORE[zigzag & 16383]
            + _MORE[zigzag >> 14 & 16383]
            + _MORE[zigzag >> 28 & 16383]
            + _LAST[zigzag >> 42]
        )
    return long_bytes(number)


def int_bytes(number: int) -> bytes:
    """``long_bytes`` of at most 32 bits."""
    return long_bytes(number, 32)


def long_at(data: bytes, at: int, bits: int = 64) -> tuple[int, int]:
    """The number that begins at a place, and the place behind it.

    Raises IndexError where the bytes end early, ValueError for more than ``bits`` bits.
    """
    zigzag = shift = 0
    while True:
        byte = data[at]
        at += 1
        if byte < 128:
            break
        zigzag |= (byte & 127) << shift
        shift += 7
        if shift > 63:
            byte = data[at]
            at += 1
            if byte > 1:
                raise ValueError("a number of more than 64 bits")
            break
    zigzag |= byte << shift
    if zigzag >> bits:
        raise ValueError(f"a number of more than {bits} bits")
    return zigzag >> 1 ^ -(zigzag & 1), at


def time_at(data: bytes, at: int) -> tuple[int, int]:
    """``long_at`` for numbers of eight bytes, as times of our days are: quicker for these.

    The eight bytes' sevens of bits are moved together by pairs, fours and halves.
    """
    if len(data) - at >= 8:
        (word,) = _WORD.unpack_from(data, at)
        if word & 0x8080808080808080 == 0x0080808080808080:
            word = word & 0x007F007F007F007F | (word & 0x7F007F007F007F00) >> 1
            word = word & 0x00003FFF00003FFF | (word & 0x3FFF00003FFF0000) >> 2
            word = word & 0x0FFFFFFF | (word >> 4) & 0xFFFFFFF0000000
            return word >> 1 ^ -(word & 1), at + 8
    return long_at(data, at)


def int_at(data: bytes, at: int) -> tuple[int, int]:
    """``long_at`` of at most 32 bits."""
    return long_at(data, at, 32)


def size_at(data: bytes, at: int) -> tuple[int, int]:
    """How many bytes follow, and the place behind that number; ValueError if below 0."""
    size, at = long_at(data, at)
    if size < 0:
        raise ValueError(f"{size} bytes")
    return size, at


def count_at(data: bytes, at: int) -> tuple[int, int]:
    """How many items follow in a block: where it is negative, the block's size is passed over."""
    count, at = long_at(data, at)
    if count < 0:
        _, at = long_at(data, at)
    return abs(count), at
