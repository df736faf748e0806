"""A file of alert rules brought into the log: what it says holds, unless somebody said otherwise.

The log remembers what a file wrote, by its actor ``file:NAME``. So a file that did not change
writes nothing however often it is applied, and what people changed since is left alone.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from alpr.errors import ConfigError
from eventlog.log import Log
from eventlog.span import span
from notify.channel import OptionsError
from notify.channels import check
from projections.statements import Statements
from rules.alerts.document import MAX_CHARACTERS
from rules.alerts.parse import RuleFile, RulesError, parse
from rules.alerts.rule import Rule
from schemas.codec import Codec, DecodeError
from schemas.records import RuleVersion
from schemas.topics import RULES

Clock = Callable[[], int]
_MOST_BYTES = 4 * MAX_CHARACTERS + 4
"""Of a file that is read: one more than UTF-8 takes, so that a device without an end is told so."""


class RulesFileError(ConfigError):
    """A file's rules cannot be used; ``problems`` name file, line and field, one each."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


@dataclass(frozen=True, slots=True)
class Applied:
    """What became of a file's rules, by name; ``left`` says who changed each since."""

    written: tuple[str, ...]
    removed: tuple[str, ...]
    same: tuple[str, ...]
    left: Mapping[str, str]


@dataclass(slots=True)
class Told:
    """A rule's last version, log times of that and of its first, the last by one actor, and the
    last definition, of which a removal takes nothing.
    """

    last: RuleVersion
    at: int
    first_at: int
    own: RuleVersion | None = None
    defined: str | None = None


def load(path: Path) -> RuleFile:
    """The rules and examples of a file, whose actions may be taken as they are.

    Raises ConfigError where it cannot be read, RulesFileError with everything that is wrong.
    """
    try:
        with path.open("rb") as file:
            content = file.read(_MOST_BYTES)
    except OSError as error:
        raise ConfigError(
            f"{path} cannot be read: {error.strerror}; name a file of rules"
        ) from error
    try:
        file = parse(content, str(path))
    except RulesError as error:
        raise RulesFileError([str(problem) for problem in error.problems]) from error
    if problems := [f"{path}: {told}" for rule in file.rules for told in refused(rule)]:
        raise RulesFileError(problems)
    return file


def refused(rule: Rule) -> Iterator[str]:
    """What the channels would refuse of a rule's actions, without looking for secrets."""
    later = rule.escalation.actions if rule.escalation else ()
    for action in (*rule.actions, *later):
        try:
            check(action.type, action.options)
        except OptionsError as error:
            yield f"rule {rule.name!r}: {error}"


def apply(log: Log, codec: Codec, path: Path, clock: Clock, *, force: bool = False) -> Applied:
    """Bring a file's rules into force; with ``force`` also where somebody else changed them since.

    A rule is written where it differs from what the file wrote last, and removed where the file
    had it and has it no more. Raises what ``load`` raises, and then nothing was written.
    """
    return Ruling(log, codec, f"file:{path.name}", clock).follow(load(path), force=force)


class Ruling:
    """Writes the rules of one file, in the name of ``actor``."""

    def __init__(self, log: Log, codec: Codec, actor: str, clock: Clock) -> None:
        self._actor = actor
        self._statements = Statements(log, codec, clock)
        self._told = told(log, codec, actor)

    def follow(self, file: RuleFile, *, force: bool = False) -> Applied:
        """Write what differs."""
        written: list[str] = []
        removed: list[str] = []
        same: list[str] = []
        left: dict[str, str] = {}
        for rule in file.rules:
            known = self._told.get(rule.name)
            if known is not None and known.last["definition"] == rule.definition:
                same.append(rule.name)
            elif known is not None and not force and self._changed_by_others(known):
                left[rule.name] = _deed(known.last)
            else:
                self._statements.rule(rule, self._actor)
                written.append(rule.name)
        for name in self._gone(file):
            known = self._told[name]
            if not force and self._changed_by_others(known):
                left[name] = _deed(known.last)
            else:
                self._statements.remove_rule(name, self._actor)
                removed.append(name)
        return Applied(tuple(written), tuple(removed), tuple(same), left)

    def _changed_by_others(self, known: Told) -> bool:
        """Whether the last word is another's, who did not merely take away what never was ours."""
        if known.last["actor"] == self._actor:
            return False
        return known.own is not None or known.last["definition"] is not None

    def _gone(self, file: RuleFile) -> Iterator[str]:
        """Rules that the file had, that stand, and that it has no more."""
        there = {rule.name for rule in file.rules}
        for name, known in self._told.items():
            wrote = known.own is not None and known.own["definition"] is not None
            if wrote and name not in there and known.last["definition"] is not None:
                yield name


def told(log: Log, codec: Codec, actor: str = "") -> dict[str, Told]:
    """What the log says of each rule, by name, removed ones too."""
    rules: dict[str, Told] = {}
    for entry in span(log, RULES.name, 0, 0, log.end(RULES.name, 0)):
        try:
            name, version = codec.decode(entry.value or b"")
        except DecodeError:
            continue  # the engine tells of it, and it is a dead letter of the views
        if name != "RuleVersion":
            continue
        at = entry.appended_at
        known = rules.setdefault(version["name"], Told(version, at, at))
        known.last, known.at = version, at
        known.defined = version["definition"] or known.defined
        if version["actor"] == actor:
            known.own = version
    return rules


def _deed(version: RuleVersion) -> str:
    did = "removed" if version["definition"] is None else "changed"
    return f"{did} by {version['actor']}"
