"""A file of rules, read and checked as a whole: every problem with its line and its field."""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from importlib.resources import files
from typing import Any, cast

from jsonschema import Draft202012Validator, ValidationError, validators

from rules.alerts import document, examples, normal
from rules.alerts.actions import SECRET
from rules.alerts.document import Document, DocumentError, Path
from rules.alerts.examples import Example, ExampleError
from rules.alerts.language import MAX_PROBLEMS, Reader
from rules.alerts.rule import Rule

__all__ = ["SCHEMA", "Problem", "RuleFile", "RulesError", "parse", "rule_of", "to_yaml"]

SCHEMA: dict[str, Any] = json.loads(
    files("rules.alerts").joinpath("alert_rules.schema.json").read_text(encoding="utf-8")
)
"""The JSON Schema (draft 2020-12) of a file of rules."""

to_yaml = normal.to_yaml


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong: where, and in ``message`` what, why and what to do."""

    file: str
    line: int
    field: str
    message: str

    def __str__(self) -> str:
        field = f"{self.field}: " if self.field else ""
        return f"{self.file}:{self.line}: {field}{self.message}"


class RulesError(ValueError):
    """Rules that cannot be used; its text is every problem, one a line."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(map(str, problems)))

    def __reduce__(self) -> tuple[Any, ...]:
        return RulesError, (self.problems,)


@dataclass(frozen=True, slots=True)
class RuleFile:
    """The rules of a file in its order, and its examples."""

    rules: tuple[Rule, ...]
    examples: tuple[Example, ...]


def parse(text: str | bytes, name: str) -> RuleFile:
    """The rules of a YAML (or JSON) text; ``name`` is the file's, for messages.

    Raises RulesError with all that is wrong.
    """
    try:
        found = document.read(text)
    except DocumentError as error:
        raise RulesError([Problem(name, error.line, told(error.path), str(error))]) from error
    reading = _Reading(found)
    reading.read()
    if reading.problems:
        problems = sorted(reading.problems, key=lambda problem: problem[0])[:MAX_PROBLEMS]
        raise RulesError([Problem(name, line, told(path), said) for line, path, said in problems])
    return RuleFile(tuple(reading.rules.values()), tuple(reading.examples))


def rule_of(definition: str) -> Rule:
    """The rule of a ``definition``, as it stands on alpr.rules. Raises RulesError."""
    try:
        value = json.loads(definition)
        if rule := _own(value, definition):
            return rule
        json.dumps(value, ensure_ascii=False).encode()
        wrong = [(path[2:], message) for path, message in _structure({"rules": [value]})]
    except (ValueError, RecursionError) as error:
        problem = Problem("definition", 1, "", f"this is no JSON that can be read: {error}")
        raise RulesError([problem]) from error
    if not wrong:
        reader = Reader()
        rule = reader.rule(value, ())
        if not reader.problems:
            return rule
        wrong = reader.problems
    raise RulesError([Problem("definition", 1, told(path), message) for path, message in wrong])


def _own(value: Any, definition: str) -> Rule | None:
    """The rule of a definition that reads back as itself: it needs no check, which takes longer."""
    try:
        rule = Reader().rule(value, ())
    except (AttributeError, KeyError, TypeError, ValueError, OverflowError):
        return None  # of another structure: the schema says where
    return rule if rule.definition == definition else None


def told(path: Path) -> str:
    """A path as people write it: ``rules[2].conditions.time.from``."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return text.removeprefix(".")


class _Reading:
    """A document on its way to rules and examples; what is broken does not hide the rest."""

    def __init__(self, found: Document) -> None:
        self.rules: dict[str, Rule] = {}
        self.examples: list[Example] = []
        self.problems = list(found.repeated)
        self._found = found
        self._broken: set[Path] = set()

    def read(self) -> None:
        for path, message in _structure(self._found.value):
            self._wrong(path, message)
            self._broken.add(path[:2])
        if len(self.problems) >= MAX_PROBLEMS:
            return  # there may be more, so no part is known to be sound
        for path, value in self._sound("rules"):
            self._rule(value, path)
            if len(self.problems) >= MAX_PROBLEMS:
                return
        for path, value in self._sound("examples"):
            self._example(value, "", path)

    def _wrong(self, path: Path, message: str) -> None:
        self.problems.append((self._found.line(path), path, message))

    def _sound(self, key: str) -> Iterator[tuple[Path, dict[str, Any]]]:
        """The rules or examples whose structure is as it should be."""
        if () in self._broken or (key,) in self._broken:
            return
        for i, one in enumerate(self._found.value.get(key, ())):
            if (key, i) not in self._broken:
                yield (key, i), one

    def _rule(self, value: dict[str, Any], path: Path) -> None:
        reader = Reader()
        rule = reader.rule(value, path)
        for at, message in reader.problems:
            self._wrong(at, message)
        if rule.name in self.rules:
            self._wrong((*path, "name"), f"there is a rule {rule.name!r} above: rename this one")
        self.rules[rule.name] = rule
        for i, one in enumerate(value.get("examples", ())):
            self._example(one, rule.name, (*path, "examples", i))

    def _example(self, value: dict[str, Any], rule: str, path: Path) -> None:
        try:
            example = examples.read(value, rule, self._found.line(path))
            # With a broken rule it is not known which names there are.
            if not self._broken:
                examples.check_names(example, self.rules)
            self.examples.append(example)
        except ExampleError as error:
            self._wrong((*path, *error.path), str(error))


# Structure, in words.


def _pattern(_: Any, pattern: str, instance: Any, schema: Any) -> Iterator[ValidationError]:
    # Python's $ also takes a line's end; JSON Schema's does not.
    if isinstance(instance, str) and not re.search(re.sub(r"\$$", r"\\Z", pattern), instance):
        yield ValidationError("pattern")


def _ref(validator: Any, ref: str, instance: Any, schema: Any) -> Iterator[ValidationError]:
    # Every reference leads to a definition beside it: no need of a search, half of the time.
    yield from validator.descend(instance, SCHEMA["$defs"][ref.rpartition("/")[2]])


def _items(validator: Any, items: Any, instance: Any, schema: Any) -> Iterator[ValidationError]:
    # Long lists are of plain texts: those that fit need no validator of their own.
    if not isinstance(instance, list):
        return
    if len(cast("list[Any]", instance)) > schema.get("maxItems", len(cast("list[Any]", instance))):
        return  # refused as a whole; to look at each would take a minute
    ref = items.get("$ref", "")
    plain = SCHEMA["$defs"][ref.rpartition("/")[2]] if ref else items
    sound = not plain.keys() - _PLAIN_TEXT and plain.get("type") == "string"
    for index, one in enumerate(cast("list[Any]", instance)):
        if sound and isinstance(one, str) and plain["minLength"] <= len(one) <= plain["maxLength"]:
            continue
        yield from validator.descend(one, items, path=index)


_PLAIN_TEXT = {"description", "type", "minLength", "maxLength"}
_JSONSCHEMA: Any = validators  # its types are incomplete
_VALIDATOR: Any = _JSONSCHEMA.extend(
    Draft202012Validator, {"pattern": _pattern, "$ref": _ref, "items": _items}
)(SCHEMA)


def _structure(value: Any) -> Iterator[tuple[Path, str]]:
    seen: set[tuple[Path, str]] = set()
    for error in _VALIDATOR.iter_errors(value):
        for problem in _problems(error):
            if problem not in seen:
                seen.add(problem)
                yield problem
            if len(seen) >= MAX_PROBLEMS:
                return


def _problems(error: Any) -> Iterator[tuple[Path, str]]:
    path: Path = tuple(error.absolute_path)
    schema: dict[str, Any] = error.schema
    instance, limit = error.instance, error.validator_value
    match error.validator:
        case "required":
            for key in limit:
                if key not in instance:
                    yield path, f"lacks {key}: add it"
        case "additionalProperties":
            known = list(schema["properties"])
            for key in instance:
                if key not in known:
                    yield (*path, key), _unknown(path, key, known)
        case "pattern" if error.parent is not None or "propertyNames" in error.schema_path:
            yield path, f"{_shown(path, instance)} is no name of a header: use letters, digits, -"
        case "maxItems" | "maxProperties" | "maxLength":
            yield path, f"is too long: {limit:,} is the most"
        case "minItems" | "minProperties" if not instance:
            yield path, f"is empty: it must be {schema.get('description', 'filled')}"
        case _:
            expected = schema.get("description") or _above(error)
            hint = _near(instance, limit) if error.validator == "enum" else ""
            yield path, f"must be {expected}, not {_shown(path, instance)}{hint}"


def _above(error: Any) -> str:
    """What the schema around a branch of it expects."""
    keys = list(error.absolute_schema_path)
    at: Any = SCHEMA
    said = "as the schema says"
    for key in keys:
        if isinstance(at, dict):
            here = cast("dict[str, Any]", at)
            said = str(here.get("description", said))
            if "$ref" in here and key == "$ref":
                at = SCHEMA["$defs"][here["$ref"].rpartition("/")[2]]
                continue
            at = here.get(key)
        elif isinstance(at, list):
            at = cast("list[Any]", at)[key]
    return said


def _unknown(path: Path, key: str, known: list[str]) -> str:
    if SECRET.search(key) and "actions" in path:
        return (
            "holds a secret in the file: put it into an environment variable and name that in "
            "url_env, token_env or secret_env"
        )
    near = get_close_matches(key[:64], known, 2)
    hint = f"did you mean {' or '.join(near)}?" if near else f"there are {', '.join(known)}"
    return f"is no key here: {hint}"


def _near(instance: Any, values: list[Any]) -> str:
    found = get_close_matches(str(instance)[:64], [str(value) for value in values], 1)
    return f"; did you mean {found[0]!r}?" if found else ""


def _shown(path: Path, value: Any) -> str:
    if value is None:
        return "nothing"
    key = next((part for part in reversed(path) if isinstance(part, str)), "")
    if "actions" in path and (
        SECRET.search(key) or key.endswith("_env") or "url" in key or "headers" in path
    ):
        # It may be a secret.
        return "what stands there"
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 60 else f"{text[:57]}..."
