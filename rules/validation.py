"""Whether a single read may count at all."""

from functools import lru_cache

from rules.grammar import Grammar
from rules.settings import DedupSettings

Refusal = tuple[str, str]
"""The reason in a word, and a detail for people."""


class Validation:
    """What settings and grammar allow."""

    def __init__(self, settings: DedupSettings, grammar: Grammar) -> None:
        self._settings = settings
        self._grammar = grammar
        self._least = settings.min_confidence
        self._of_text = lru_cache(maxsize=16_384)(self._refusal_of_text)

    def refusal(self, text: str, confidence: float, scope: str) -> Refusal | None:
        """Why a read may not count; None if it may.

        ``text`` is normalised, ``confidence`` 0 to 1. Letters or digits alone are a plate only
        where the region is told and its grammar has such plates.
        """
        if not self._least <= confidence <= 1.0:  # nor NaN
            return "confidence", f"{confidence:.3f} is not {self._least} to 1"
        return self._of_text(text, scope)

    def _refusal_of_text(self, text: str, scope: str) -> Refusal | None:
        least, most = self._settings.min_length, self._settings.max_length
        if not least <= len(text) <= most:
            return "length", f"{len(text)} characters, not {least} to {most}"
        if (text.isdigit() or text.isalpha()) and not self._grammar.regions(text, scope):
            return "format", "no letter and digit, and no grammar that allows it"
        return None
