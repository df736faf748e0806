"""What the rules are, as a short hash that every event carries."""

from hashlib import blake2b

from rules.grammar import Grammar
from rules.settings import DedupSettings

RULES = 2
"""Raised by hand whenever the code of ``rules/`` decides anything differently."""


def rules_version(settings: DedupSettings, grammar: Grammar) -> str:
    """Twelve hexadecimal digits: equal for equal code, settings and grammars."""
    content = [f"rules={RULES}", settings.canonical()]
    content += [f"{x.region}:{x.pattern}:{x.places}" for x in grammar.layouts]
    return blake2b("\n".join(content).encode(), digest_size=6).hexdigest()
