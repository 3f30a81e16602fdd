"""Make the SGD domain pack from the schema that comes with the logs.

    python examples/sgd/make_pack.py [--data ../shared/data/sgd] [--out examples/sgd/pack.yaml]

One task per (service, intent), named `service/intent`. Its fields are the slots that the intent's call can
take: first the required ones, then the optional ones, with the descriptions and possible values of
`slots.json`. The logs say which slots a call can take; only slot *names* are read from them, never a
session's values, so the pack holds what the schema says and nothing about an answer. The result is not
committed (the data is CC BY-SA 4.0).
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from learntoask.core.errors import InputError
from learntoask.core.pack import parse_pack

HERE = Path(__file__).resolve().parent
DATA = Path(os.environ.get("LTA_DATA", HERE.parents[2] / "shared/data")) / "sgd"

# Only what the intent requires is listed: these experts never ask for an optional slot, and descriptions are what a
# policy has to go by on a service it never saw.
POLICY_PROMPT = """\
{{ goal }}
Needed:
{%- for f in fields if f.required %}
- {{ f.title }}{% if f.description %}: {{ f.description }}{% endif %}
{%- endfor %}
Ask for what is still missing.
{%- if may_stop %} {{ stopping }} Then answer {{ stop }}
{%- endif %}"""

DEMO_TASK = "RentalCars_1/GetCarsAvailable"
DEMO = (
    "Hi, I need a rental car for a short trip.",
    "Somewhere in San Diego please, I land there on Friday.",
    "I'd pick it up around 10 in the morning.",
    "I bring it back on Sunday.",
)
HEAD: dict[str, Any] = {
    "name": "sgd",
    "language": "en",
    "roles": {"user": "user", "expert": "agent"},
    "stopping": "When nothing needed is missing, stop asking.",
    "prompts": {"policy": POLICY_PROMPT},
    "stopAt": "acts",
    "endMarkers": ["<stop>"],
    "requireEndMarker": True,
    "taskFrom": ["annotations.service", "annotations.intent"],
}


@dataclass
class Signature:
    """What the logs say about one (service, intent): goal text and the names of the slots of its call."""

    goal: str = ""
    required: tuple[str, ...] = ()
    slots: set[str] = field(default_factory=set)


def signatures(sessions: Iterable[dict[str, Any]]) -> dict[tuple[str, str], Signature]:
    found: dict[tuple[str, str], Signature] = {}
    for session in sessions:
        notes = session["annotations"]
        signature = found.setdefault((notes["service"], notes["intent"]), Signature())
        signature.goal = session["goal"]
        signature.required = tuple(notes["required_slots"])
        signature.slots |= set(_slot_names(notes))
    return found


def _slot_names(notes: dict[str, Any]) -> Iterator[str]:
    """Names only; the values beside them are a session's answers and stay unread."""
    yield from notes["action"]["parameters"]
    yield from (item["item"] for item in notes["known_at_start"])
    for turn in notes["turns"]:
        for part in ("requested", "remaining", "remaining_volunteered"):
            yield from (item["item"] for item in turn[part])


def pack_document(
    found: dict[tuple[str, str], Signature], schema: dict[str, dict[str, Any]]
) -> dict[str, Any]:
    """The pack as plain data. Raises InputError where logs and schema disagree."""
    tasks = [
        {
            "name": f"{service}/{intent}",
            "group": service,
            "goal": signature.goal,
            "fields": _fields(service, signature, schema),
        }
        for (service, intent), signature in sorted(found.items())
    ]
    document = {**HEAD, "tasks": tasks}
    if any(task["name"] == DEMO_TASK for task in tasks):
        document |= {"demo": list(DEMO), "demoTask": DEMO_TASK}
    return document


def _fields(service: str, signature: Signature, schema: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    slots = schema.get(service, {}).get("slots", {})
    unknown = (signature.slots | set(signature.required)) - set(slots)
    if unknown:
        raise InputError(f"slots.json: service {service!r} lacks {sorted(unknown)}, which its logs name")
    optional = [name for name in slots if name in signature.slots and name not in signature.required]
    return [
        {
            "name": name,
            "description": slots[name]["description"],
            "required": name in signature.required,
            **({"values": list(slots[name]["possible_values"])} if slots[name]["possible_values"] else {}),
        }
        for name in (*signature.required, *optional)
    ]


def read_sessions(paths: Iterable[Path]) -> Iterator[dict[str, Any]]:
    for path in paths:
        with path.open(encoding="utf-8") as lines:
            for number, line in enumerate(lines, start=1):
                try:
                    yield json.loads(line)
                except json.JSONDecodeError as error:
                    raise InputError(f"{path}, line {number}: {error}") from error


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--out", type=Path, default=HERE / "pack.yaml")
    options = parser.parse_args(arguments)
    schema_file = options.data / "slots.json"
    try:
        schema = json.loads(schema_file.read_text(encoding="utf-8"))
        document = pack_document(
            signatures(read_sessions(options.data / f"{split}.jsonl" for split in ("train", "test"))), schema
        )
        text = yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=110)
        pack = parse_pack(text, where=str(options.out))
        options.out.write_text(
            "# Made by examples/sgd/make_pack.py from the logs' schema (CC BY-SA 4.0); do not commit.\n"
            + text,
            encoding="utf-8",
        )
    except (InputError, OSError) as error:
        print(
            f"{error}\n(--data names the folder with slots.json, train.jsonl and test.jsonl)", file=sys.stderr
        )
        return InputError.exit_code
    print(f"{options.out}: {len(pack.tasks)} tasks, {sum(len(task.fields) for task in pack.tasks)} fields")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
