"""Reads a known plate as text recognition would: mostly right, wrong in the ways that it is."""

from random import Random
from typing import NamedTuple

from benchmarks.plates import ALPHABET, DIGITS
from schemas.records import Alternative

CONFUSABLE = ("0OQD", "1IL", "8B", "5S", "2Z", "6G")
LOOKALIKES = {
    character: group.replace(character, "") for group in CONFUSABLE for character in group
}
WORDS = ("TAXI", "POLICE", "TOYOTA", "RENAULT", "SCANIA", "EXIT", "SPRINTER", "EXPRESS", "HYBRID")
LETTERINGS = ("F150XLT", "TGX18500", "XC90T8", "C220D", "A45AMG", "H2OTEAM", "24HR", "Q7TDI")
_VARIANTS = 256


class Reading(NamedTuple):
    """Text, its confidence 0 to 1, and per mille by character, as a PlateRead has them."""

    text: str
    confidence: float
    characters: list[int]
    alternatives: list[Alternative]


class Noise(NamedTuple):
    """Shares of reads that go wrong, 0 to 1 of the reads of real plates.

    ``confusable``: a character taken for its lookalike; ``confident``: the share of wrong
    characters whose confidence does not show it; ``dropped``: the first or last character
    missing; ``extra``: one too many at an end; ``arbitrary``: any other character; ``separated``:
    right reads with the separators of the plate.
    """

    confusable: float = 0.06
    confident: float = 0.12
    dropped: float = 0.02
    extra: float = 0.01
    arbitrary: float = 0.004
    separated: float = 0.3


class Recogniser:
    """Reads plates with noise drawn from ``rng``; the same seed reads the same."""

    def __init__(self, rng: Random, noise: Noise) -> None:
        self._rng = rng
        self._noise = noise
        self._right: dict[int, list[tuple[float, list[int]]]] = {}
        dropped = noise.confusable + noise.dropped
        self._bounds = (
            noise.confusable,
            dropped,
            dropped + noise.extra,
            dropped + noise.extra + noise.arbitrary,
        )

    def read(self, plate: str, painted: str) -> Reading:
        """One read of ``plate``, the bare characters of what is ``painted``."""
        chance = self._rng.random()
        if chance >= self._bounds[3]:
            separated = self._rng.random() < self._noise.separated
            return self._sure(painted if separated else plate)
        if chance < self._bounds[0]:
            return self._confused(plate)
        if chance < self._bounds[1]:
            return self._sure(plate[1:] if self._rng.random() < 0.5 else plate[:-1])
        if chance < self._bounds[2]:
            return self._extra(plate)
        place = self._rng.randrange(len(plate))
        return self._replaced(plate, place, self._other(plate[place]))

    def soil(self, plate: str) -> tuple[int, str]:
        """A place and what dirt makes of its character: mostly one that looks like it."""
        places = [place for place, character in enumerate(plate) if character in LOOKALIKES]
        if not places or self._rng.random() < 0.2:
            place = self._rng.randrange(len(plate))
            return place, self._other(plate[place])
        place = self._rng.choice(places)
        return place, self._rng.choice(LOOKALIKES[plate[place]])

    def soiled(self, plate: str, place: int, character: str) -> Reading:
        """A read of a plate with dirt that turns the same place into the same character."""
        return self._replaced(plate, place, character)

    def blurred(self, plate: str) -> Reading:
        """A read below any sensible confidence, a few characters wrong."""
        rng = self._rng
        characters = list(plate)
        for _ in range(rng.randint(1, 3)):
            place = rng.randrange(len(characters))
            characters[place] = self._other(characters[place])
        return _reading("".join(characters), [rng.randint(200, 680) for _ in characters])

    def fragment(self, plate: str) -> Reading:
        """Two characters of the plate."""
        start = self._rng.randrange(len(plate) - 1)
        return self._sure(plate[start : start + 2])

    def lettering(self, text: str) -> Reading:
        """Something else that is written somewhere, read right."""
        return self._sure(text)

    def _sure(self, text: str) -> Reading:
        pool = self._right.get(len(text)) or self._fill(len(text))
        confidence, characters = pool[int(self._rng.random() * _VARIANTS)]
        return Reading(text, confidence, characters.copy(), [])

    def _fill(self, length: int) -> list[tuple[float, list[int]]]:
        # Most reads are good; an eighth is weak throughout yet above the usual minimum of 0.70.
        pool: list[tuple[float, list[int]]] = []
        for variant in range(_VARIANTS):
            low, high = (720, 900) if variant % 8 == 0 else (880, 999)
            characters = [self._rng.randint(low, high) for _ in range(length)]
            pool.append((round(sum(characters) / length / 1000, 4), characters))
        self._right[length] = pool
        return pool

    def _confused(self, plate: str) -> Reading:
        places = [place for place, character in enumerate(plate) if character in LOOKALIKES]
        if not places:
            return self._sure(plate)
        place = self._rng.choice(places)
        return self._replaced(plate, place, self._rng.choice(LOOKALIKES[plate[place]]))

    def _replaced(self, plate: str, place: int, character: str) -> Reading:
        text = plate[:place] + character + plate[place + 1 :]
        sure = self._sure(text)
        if self._rng.random() < self._noise.confident:
            return sure
        sure.characters[place] = self._rng.randint(350, 700)
        reading = _reading(text, sure.characters)
        if self._rng.random() < 0.3:
            second = round(reading.confidence * 0.6, 4)
            reading.alternatives.append({"text": plate, "confidence": second})
        return reading

    def _extra(self, plate: str) -> Reading:
        # The rim of a plate reads as a 1 or an I; a sticker as anything.
        rng = self._rng
        character = rng.choice("11IIL") if rng.random() < 0.6 else rng.choice(ALPHABET + DIGITS)
        weak = rng.randint(300, 800)
        sure = self._sure(plate).characters
        if rng.random() < 0.5:
            return _reading(character + plate, [weak, *sure])
        return _reading(plate + character, [*sure, weak])

    def _other(self, character: str) -> str:
        symbols = DIGITS if character in DIGITS else ALPHABET
        return self._rng.choice(symbols.replace(character, ""))


def _reading(text: str, characters: list[int]) -> Reading:
    return Reading(text, round(sum(characters) / len(characters) / 1000, 4), characters, [])
