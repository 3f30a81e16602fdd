"""The policy's assessment of a conversation: the fields that are still missing, written in a tag before the question.

`<need>age, other medicines</need> How old are you?` names the fields by their titles, as the prompt lists them. A stop
has no tag, because nothing is missing then.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from learntoask.core.answer import is_exact_stop
from learntoask.core.errors import InputError
from learntoask.core.pack import InformationField, Pack
from learntoask.core.records import STOP

OPEN, CLOSE = "<need>", "</need>"
INSTRUCTION = f"Begin each question with the fields that are still missing: {OPEN}field, field{CLOSE}"
"""The sentence that the policy's prompt ends with."""

_WRITTEN = re.compile(rf"{OPEN}([^<>]*){CLOSE}\s*([^\s].*)", re.DOTALL)
_TAG = re.compile(rf"{OPEN}([^<>]*){CLOSE}", re.IGNORECASE)
_PIECE = re.compile(r"<\s*/?\s*need\w*\s*>?|/?need>", re.IGNORECASE)
_RESERVED = re.compile(r"[,<>]")
_LISTED = re.compile(r"[^,]+")


@dataclass(frozen=True, slots=True)
class MissingField:
    """A field that the policy finds missing.

    `probability` is the one with which the policy names it, given what it wrote before; None if that is not known.
    """

    name: str
    probability: float | None = None


@dataclass(frozen=True, slots=True)
class AssessedAnswer:
    """An answer of the policy without its tag, and the names of the fields that the policy says are missing.

    `assessment` is None if the answer has none that can be read. A `malformed` answer differs from the form that the
    policy has learned: its tag is missing, broken or names other fields than those of the task. `spans` are the places
    of the names in what the policy wrote, as (start, end) in characters.
    """

    text: str
    assessment: tuple[str, ...] | None = None
    malformed: bool = False
    spans: tuple[tuple[int, int], ...] = dataclasses.field(default=(), compare=False)


def render(question: str, *, missing: Collection[str], fields: Iterable[InformationField]) -> str:
    """Return `question` with the tag that names the fields `missing`, in the order of `fields`."""
    titles = (field.title for field in fields if field.name in missing)
    return f"{OPEN}{', '.join(titles)}{CLOSE} {question}"


def parse(text: str, fields: Sequence[InformationField]) -> AssessedAnswer:
    """Return the answer that `text` holds, for a task with `fields`. No part of a tag is left in it.

    Of a malformed answer remains what may be a question: the text around tags, and after the names in a tag that is not
    closed.
    """
    if is_exact_stop(text):
        return AssessedAnswer(text, ())
    names = {field.title: field.name for field in fields}
    tag, written = _TAG.search(text), _WRITTEN.fullmatch(text.strip())
    named = _named(tag, names) if tag else {}
    spans = tuple(named.values())
    if written is not None:
        listed, question = written[1].split(","), written[2]
        known = all(title.strip() in names for title in listed)
        if known and STOP not in question and not _PIECE.search(question):
            return AssessedAnswer(question, tuple(named), spans=spans)
    assessment = tuple(named) if tag else None
    return AssessedAnswer(_without_tags(text, names), assessment, malformed=True, spans=spans)


def f1(assessment: Collection[str] | None, target: Collection[str]) -> float:
    """Return the F1 score of an assessment against the fields of the micro-goal; 0 without an assessment.

    An empty assessment of an empty micro-goal scores 1.
    """
    if assessment is None:
        return 0.0
    found, wanted = set(assessment), set(target)
    return 2 * len(found & wanted) / (len(found) + len(wanted)) if found or wanted else 1.0


def check_titles(pack: Pack) -> None:
    """Raise InputError if a task has fields that a tag could not tell apart."""
    for task in pack.tasks:
        seen: dict[str, str] = {}
        for field in task.fields:
            where = f"pack {pack.name!r}, task {task.name!r}, field {field.name!r}"
            if not field.title or _RESERVED.search(field.title):
                raise InputError(
                    f"{where}: train.assessment writes the names of fields as a list in a tag, so a name needs a "
                    "letter and must not hold ',', '<' or '>'; rename it, or set train.assessment to none"
                )
            if field.title in seen:
                raise InputError(
                    f"{where}: prompts show it as {field.title!r}, as they do {seen[field.title]!r}, and "
                    "train.assessment cannot tell them apart; rename one, or set train.assessment to none"
                )
            seen[field.title] = field.name


def _named(tag: re.Match[str], names: dict[str, str]) -> dict[str, tuple[int, int]]:
    """Return the fields that a tag names, in its order, each with the place where the text first names it."""
    found: dict[str, tuple[int, int]] = {}
    for listed in _LISTED.finditer(tag.string, *tag.span(1)):
        title = listed[0].strip()
        if title in names:
            start = listed.start() + listed[0].index(title)
            found.setdefault(names[title], (start, start + len(title)))
    return found


def _without_tags(text: str, names: Iterable[str]) -> str:
    """Return the text without tags, the names in a tag that lacks its beginning or end, and pieces of tags."""
    longest_first = sorted(names, key=len, reverse=True)
    listed = rf"(?:(?:{'|'.join(map(re.escape, longest_first))})(?!\w)[\s,]*)*"
    text = _TAG.sub(" ", text)
    text = re.sub(rf"{OPEN}\s*{listed}|^\s*{listed}{CLOSE}", " ", text, flags=re.IGNORECASE)
    while _PIECE.search(text):  # what a piece separates may be one
        text = _PIECE.sub(" ", text)
    return text.strip()
