"""Whether a single read may count at all."""

from rules.grammar import Grammar
from rules.settings import DedupSettings


def refusal(
    text: str, confidence: float, scope: str, settings: DedupSettings, grammar: Grammar
) -> tuple[str, str] | None:
    """Why a read may not count, as (reason, detail for people); None if it may.

    ``text`` is normalised, ``confidence`` 0 to 1. Letters or digits alone are a plate only where
    the region is told and its grammar has such plates.
    """
    if not settings.min_confidence <= confidence <= 1.0:  # nor NaN
        return "confidence", f"{confidence:.3f} is not {settings.min_confidence} to 1"
    if not settings.min_length <= len(text) <= settings.max_length:
        return (
            "length",
            f"{len(text)} characters, not {settings.min_length} to {settings.max_length}",
        )
    alone = text.isdigit() or text.isalpha()
    if alone and not grammar.regions(text, scope):
        return "format", "no letter and digit, and no grammar that allows it"
    return None
