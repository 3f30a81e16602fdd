"""Write pack.yaml: the data of `pack_data`, with the evidence for each part in comments above it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from learntoask.core.pack import parse_pack
from learntoask.induction.output.pack_data import pack_data, task_data
from learntoask.induction.suggestion import FieldUse, SuggestedTask, Suggestion

_WIDTH = 116
_SHOWN = 60  # characters of a reply in a comment


def pack_yaml(found: Suggestion, *, name: str) -> str:
    """Return the text of pack.yaml. Raises InputError if it is not a valid pack, which would be a fault here."""
    text = "\n".join(_lines(found, name)) + "\n"
    parse_pack(text, where="the suggested pack")
    return text


def _lines(found: Suggestion, name: str) -> Iterator[str]:
    yield f"# Domain pack that `lta init` made from {found.sessions} sessions of {comment(found.logs)}."
    yield "# suggest.html shows it with its evidence, and docs/packs.md explains every key. Edit it freely:"
    yield "# `lta data check` shows what changes."
    data = pack_data(found, name=name)
    tasks = data.pop("tasks")
    for key, value in data.items():
        yield from (f"# {line}" for line in _evidence(found, key))
        yield from entry(key, value, indent=0)
    yield "tasks:"
    for task, plain in zip(found.tasks, tasks, strict=True):
        yield from task_lines(task, plain)


def task_lines(task: SuggestedTask, plain: Mapping[str, Any] | None = None) -> Iterator[str]:
    """Yield the lines of a task, as an entry of the list `tasks`."""
    plain = plain or task_data(task)
    yield f"  # {task.sessions} sessions"
    yield f"  - name: {scalar(plain['name'])}"
    if "goal" in plain:
        yield f"    goal: {scalar(plain['goal'])}"
    yield "    fields:"
    for use, field in zip(task.fields, plain["fields"], strict=True):
        yield from field_lines(use, field)


def field_lines(use: FieldUse, plain: Mapping[str, Any]) -> Iterator[str]:
    """Yield the lines of a field, as an entry of a task's list `fields`."""
    for line in evidence_of(use):
        yield f"      # {line}"
    first = True
    for key, value in plain.items():
        for line in entry(key, value, indent=8):
            yield line.replace("        ", "      - ", 1) if first else line
            first = False


def evidence_of(use: FieldUse) -> Iterator[str]:
    """Yield what the field is based on, in two lines."""
    evidence = use.field.evidence
    unseen = ""
    if evidence.held_out_precision is not None and evidence.held_out_coverage is not None:
        unseen = (
            f"; on sessions that they were not made from: {evidence.held_out_precision:.0%} right, "
            f"{evidence.held_out_coverage:.0%} found"
        )
    yield (
        f"asked in {use.sessions} sessions; the patterns match {evidence.matched} of {evidence.asked} questions{unseen}"
        f" ({evidence.confidence} confidence)"
    )
    if evidence.answers:
        replies = ", ".join(f'"{comment(text[:_SHOWN])}" ({count})' for text, count in evidence.answers[:3])
        yield f"answers: {replies}"
    if use.field.named_by:
        yield f"named by {comment(use.field.named_by)} from questions {', '.join(evidence.question_ids[:5])}"


def _evidence(found: Suggestion, key: str) -> Iterator[str]:
    ends = found.ends
    if key == "language" and len(found.languages) > 1:
        shares = ", ".join(f"{code} {share:.0%}" for code, share in found.languages.items())
        yield f"by their words, the sessions are in: {shares}"
    elif key == "roles":
        yield comment(found.roles_reason)
    elif key == "endMarkers":
        if ends.markers:
            counts = ", ".join(f"{comment(marker)} in {count}" for marker, count in ends.markers)
            yield f"of {found.sessions} sessions: {counts}; nothing is asked after it"
        else:
            yield "no string marks the end of sessions"
    elif key == "actionPatterns":
        yield "what experts say when they act: after it nothing is asked"
    elif key == "handoffPatterns":
        yield "the expert's last words in sessions without a marker; check that they hand over"
    elif key == "taskFrom":
        yield (
            f"its values tell {found.task_share or 0:.0%} of what could be known about which fields are asked for"
        )


def entry(key: str, value: Any, *, indent: int) -> Iterator[str]:
    """Yield a key with its value: texts and lists of texts on one line if they fit, mappings below the key."""
    space = " " * indent
    if isinstance(value, Mapping):
        yield f"{space}{key}:"
        for inner, content in value.items():
            yield from entry(inner, content, indent=indent + 2)
    elif isinstance(value, list):
        together = f"{space}{key}: [{', '.join(map(scalar, value))}]"
        if len(together) <= _WIDTH:
            yield together
        else:
            yield f"{space}{key}:"
            yield from (f"{space}  - {scalar(item)}" for item in value)
    else:
        yield f"{space}{key}: {scalar(value)}"


def scalar(value: object) -> str:
    """Return a value as YAML writes it. A text stands between single quotes unless it is a plain identifier."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    text = str(value)
    if text.isascii() and text.replace("_", "").isalpha() and text.lower() not in _WORDS:
        return text
    if any(ord(character) < 32 or ord(character) in (0x7F, 0x85, 0x2028, 0x2029) for character in text):
        text = " ".join(text.split())
    return "'" + text.replace("'", "''") + "'"


_WORDS = frozenset(
    ["true", "false", "yes", "no", "on", "off", "null", "y", "n"]
)  # texts that YAML reads as something else


def comment(text: str) -> str:
    """Return the text on one line, as a comment can hold it."""
    return " ".join("".join(character if character.isprintable() else " " for character in text).split())
