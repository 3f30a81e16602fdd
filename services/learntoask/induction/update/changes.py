"""Compare an existing pack with what its logs suggest.

A suggested field is a field of the pack if the pack's patterns already match at least three in ten of its questions,
and more than those of any other field, or if it has the name of a field that no other suggestion is. Then the patterns
for its unmatched questions are missing. Otherwise the field is new, with a name that the task does not have. A pattern
of the pack that matches no question of any task is unused, and one whose questions mostly ask for another field teaches
wrong labels.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from learntoask.core.pack import InformationField, Pack, Task
from learntoask.induction.fields.clusters import by_frequency
from learntoask.induction.names import unused_name
from learntoask.induction.suggestion import FieldUse, SortedQuestion, SuggestedTask, Suggestion
from learntoask.labeling.logs.patterns import any_of

_SAME_FIELD = 0.3  # share of a suggested field's questions that the patterns of one field of the pack match
_WRONG_FROM = 5  # questions that a pattern matches, from which it can be called wrong
_WRONG_SHARE = 0.5  # of them that ask for another field
_FEWEST = 2  # unmatched questions that a new pattern finds


@dataclass(frozen=True)
class NewPattern:
    """A pattern to add to a field of the pack; `found` unmatched questions have it."""

    task: str
    field: str
    pattern: str
    found: int
    example: str


@dataclass(frozen=True)
class WrongPattern:
    """A pattern to remove: of the `matched` questions that it finds, `other` ask for another field."""

    task: str
    field: str
    pattern: str
    matched: int
    other: int
    example: str


@dataclass(frozen=True)
class NewField:
    """A field that the task lacks."""

    task: str
    use: FieldUse


Change = NewPattern | WrongPattern | NewField


@dataclass(frozen=True)
class PackChanges:
    """The changes, the patterns that no question matches, and the questions that stay unmatched, by frequency."""

    changes: tuple[Change, ...]
    unused: tuple[tuple[str, str, str], ...]  # task, field, pattern
    unmatched: tuple[tuple[str, int], ...]


def pack_changes(pack: Pack, found: Suggestion) -> PackChanges:
    """Return what the logs show that the pack lacks."""
    suggested = {task.name: task for task in found.tasks}
    changes: list[Change] = []
    unused: list[tuple[str, str, str]] = []
    unmatched: Counter[str] = Counter()
    # The same field is asked for in other words in another task.
    texts = sorted({question.text for question in found.sorted_questions})
    for task in pack.tasks:
        of_task = suggested.get(task.name) or (
            found.tasks[0] if len(found.tasks) == len(pack.tasks) == 1 else None
        )
        if of_task is None:
            continue
        questions = [question for question in found.sorted_questions if question.task == of_task.name]
        matches = _matches(task, of_task, questions)
        changes += _changes(task, of_task, questions, matches)
        unused += _unused(task, texts)
        search = any_of(tuple(pattern for field in task.fields for pattern in field.patterns))
        for question in questions:
            if question.field is None and not search(question.text):
                unmatched[question.text] += question.count
    return PackChanges(tuple(changes), tuple(unused), tuple(by_frequency(unmatched)))


def _matches(
    task: Task, suggested: SuggestedTask, questions: Sequence[SortedQuestion]
) -> dict[str, InformationField]:
    """Return the field of the pack that each suggested field is, by what its patterns match."""
    found = {}
    for use in suggested.fields:
        own = [question for question in questions if question.field == use.field.name]
        total = sum(question.count for question in own)
        shares = {
            field.name: sum(question.count for question in own if any_of(field.patterns)(question.text))
            for field in task.fields
        }
        best = max(task.fields, key=lambda field: shares[field.name])
        if total and shares[best.name] >= _SAME_FIELD * total:
            found[use.field.name] = best
    taken = {field.name for field in found.values()}
    for field in task.fields:
        if field.name not in taken and any(use.field.name == field.name for use in suggested.fields):
            found.setdefault(field.name, field)
    return found


def _changes(
    task: Task,
    suggested: SuggestedTask,
    questions: Sequence[SortedQuestion],
    matches: Mapping[str, InformationField],
) -> Iterator[Change]:
    names = {field.name for field in task.fields}
    for use in suggested.fields:
        field = matches.get(use.field.name)
        if field is None:
            name = unused_name(use.field.name, names, ())
            names.add(name)
            yield NewField(task.name, replace(use, field=replace(use.field, name=name)))
            continue
        known = any_of(field.patterns)
        missed = [
            question
            for question in questions
            if question.field == use.field.name and not known(question.text)
        ]
        for pattern in use.patterns:
            search = any_of((pattern.expression,))
            hit = [question for question in missed if search(question.text)]
            count = sum(question.count for question in hit)
            if count >= _FEWEST:
                yield NewPattern(task.name, field.name, pattern.expression, count, hit[0].text)
                missed = [question for question in missed if question not in hit]
    yield from _wrong(task, questions, matches)


def _wrong(
    task: Task, questions: Sequence[SortedQuestion], matches: Mapping[str, InformationField]
) -> Iterator[WrongPattern]:
    for field in task.fields:
        for pattern in field.patterns:
            search = any_of((pattern,))
            asked: dict[str, int] = defaultdict(int)
            example: dict[str, str] = {}
            for question in questions:
                of = matches.get(question.field or "")
                if of is not None and search(question.text):
                    name = of.name
                    asked[name] += question.count
                    example.setdefault(name, question.text)
            total = sum(asked.values())
            other = max(
                (name for name in asked if name != field.name), key=lambda name: asked[name], default=None
            )
            if other is not None and total >= _WRONG_FROM and asked[other] > _WRONG_SHARE * total:
                yield WrongPattern(task.name, field.name, pattern, total, asked[other], example[other])


def _unused(task: Task, texts: Sequence[str]) -> Iterator[tuple[str, str, str]]:
    for field in task.fields:
        for pattern in field.patterns:
            search = any_of((pattern,))
            if not any(map(search, texts)):
                yield task.name, field.name, pattern
