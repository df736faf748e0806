"""The versions of each schema as they were published, and how to publish another.

``schemas/published/RECORD/N.avsc`` is version N, never to be changed: records written with it
lie in logs. ``python -m schemas.publish`` adds today's where it differs from the newest; the
tests then hold all versions of a record to be readable by one another.
"""

import json
import sys
from pathlib import Path

from schemas.codec import SchemaRegistry, schema_text
from schemas.topics import TOPICS, subject

FOLDER = Path(__file__).parent / "published"


def versions(record: str, folder: Path = FOLDER) -> dict[int, str]:
    """The published schema texts of a record by version, oldest first; empty if it has none."""
    found = {int(path.stem): path for path in (folder / record).glob("*.avsc")}
    return {n: _text(found[n].read_text(encoding="utf-8")) for n in sorted(found)}


def publish(folder: Path = FOLDER) -> list[Path]:
    """Write the schemas that differ from their newest published version; the files written."""
    written: list[Path] = []
    for record in sorted({record for topic in TOPICS.values() for record in topic.records}):
        known = versions(record, folder)
        newest = max(known, default=0)
        text = schema_text(record)
        if known.get(newest) == text:
            continue
        path = folder / record / f"{newest + 1}.avsc"
        path.parent.mkdir(parents=True, exist_ok=True)
        pretty = json.dumps(json.loads(text), indent=1, ensure_ascii=False)
        path.write_text(pretty + "\n", encoding="utf-8")
        written.append(path)
    return written


def register(registry: SchemaRegistry) -> None:
    """Register every published version of every record and today's, as a deployment does.

    Older versions are needed where records of older logs are copied here.
    """
    for topic in TOPICS.values():
        for record in topic.records:
            for text in dict.fromkeys([*versions(record).values(), schema_text(record)]):
                registry.register(subject(topic.name, record), text)


def _text(pretty: str) -> str:
    """A schema as ``schema_text`` gives it."""
    return json.dumps(json.loads(pretty), separators=(",", ":"), ensure_ascii=False)


def main() -> int:
    """Publish what is new, name it; 0."""
    for path in publish():
        print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
