"""Patterns and example questions of fields, from questions that people read.

A pattern is a run of one to four words of a question that people say asks for the field, although no pattern of the
field matches it. It is taken if it matches no question that people say does not ask for the field, and if the other
questions that it matches in the logs mostly ask for the field by the findings of the graders. Of these, the one that
matches most questions without a field is taken first.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from learntoask.calibration.answers import Answered
from learntoask.calibration.draw.findings import LABELLER, Finding
from learntoask.calibration.labels.evidence import ASKED_FROM, Asked, TurnKey
from learntoask.core.pack import InformationField, Pack, Task
from learntoask.core.text.characters import folded_line, plain_text
from learntoask.core.text.patterns import Search
from learntoask.core.text.sentences import question_parts, sentences
from learntoask.core.text.words import is_unspaced, words
from learntoask.labeling.logs.patterns import any_of

_MOST_WORDS = 4
_LEAST_LETTERS = 3  # of a pattern of one word
_STEM_LETTERS = 5  # as in core.text.words
_TRUSTED = 0.7  # share of the questions matched and understood that ask for the field
_READ = 3.0  # weight of a question that people read
_LITTLE = 0.3  # weight of a question that little speaks against
_SHARED = 0.6  # share of the words of the shorter of two like questions
_ROUNDS = 2  # patterns of the first one tell which words of other questions are about another field
_MOST_QUESTIONS = 3  # example questions of a field
_WRONG = 2  # answers that a pattern is wrong, more than it is right, after which it is removed
_WORD = re.compile(r"[^\W_]+(?:'[^\W_]+)*")


@dataclass(frozen=True)
class Edit:
    """A change of one field. `because` are the digests of the items whose answers caused it."""

    task: str
    field: str
    action: str  # `add pattern`, `remove pattern`, `add question`
    text: str
    because: tuple[str, ...]


@dataclass(frozen=True)
class _Read:
    """A question that people have answered."""

    digest: str
    text: str
    said: Mapping[str, bool]
    parts: tuple[str, ...] = ()  # the sentences that ask for a field that no pattern finds in it


def propose_patterns(
    pack: Pack, answered: Iterable[Answered], findings: Sequence[Finding], asked: Asked
) -> list[Edit]:
    """Return the edits that answers to `asks_for` items suggest. `asked` are probabilities without people's answers."""
    texts = {(finding.session_id, finding.turn): finding for finding in findings}
    read: dict[str, list[_Read]] = defaultdict(list)
    for one in answered:
        key: TurnKey = one.item.origin.session_id, one.item.origin.turn
        if one.item.kind == "asks_for" and key in texts and one.keys:
            read[one.item.task].append(_Read(one.digest, texts[key].text, one.keys))
    by_task: dict[str, list[Finding]] = defaultdict(list)
    for finding in findings:
        by_task[finding.task].append(finding)
    edits: dict[Edit, None] = {}
    for _ in range(_ROUNDS):
        revised = apply_edits(pack, edits)
        for task in pack.tasks:
            if read[task.name]:
                now = revised.task(task.name)
                edits |= dict.fromkeys(_edits_of(revised, now, read, by_task, asked))
    return list(edits)


def _edits_of(
    pack: Pack,
    task: Task,
    read: Mapping[str, Sequence[_Read]],
    by_task: Mapping[str, Sequence[Finding]],
    asked: Asked,
) -> Iterator[Edit]:
    for field in task.fields:
        of_field = [one for one in read[task.name] if field.name in one.said]
        right = [one for one in of_field if one.said[field.name]]
        wrong = [one for one in of_field if not one.said[field.name]]
        removed = tuple(_removed(field, right, wrong))
        for pattern, because in removed:
            yield Edit(task.name, field.name, "remove pattern", pattern, because)
        kept = tuple(p for p in field.patterns if p not in {pattern for pattern, _ in removed})
        missed = [
            replace(one, parts=_parts_about(field, task, one)) for one in right if not any_of(kept)(one.text)
        ]
        # The same field of tasks of the same group has the same patterns.
        tasks = [
            other
            for other in pack.tasks
            if other.group_name == task.group_name and any(f.name == field.name for f in other.fields)
        ]
        corpus = [finding for other in tasks for finding in by_task.get(other.name, ())]
        others = any_of(tuple(p for one in task.fields if one.name != field.name for p in one.patterns))
        for pattern, because in _patterns(field.name, missed, right, wrong, corpus, asked, others):
            for other in tasks:
                yield Edit(other.name, field.name, "add pattern", pattern, because)
        known = {folded_line(text) for text in field.questions}
        alone = [one for one in right if sum(one.said.values()) == 1 and one.text.casefold() not in known]
        room = _MOST_QUESTIONS - len(field.questions)
        for one in sorted(alone, key=lambda one: (len(one.text), one.text))[: max(0, room)]:
            yield Edit(task.name, field.name, "add question", one.text, (one.digest,))


def _parts_about(field: InformationField, task: Task, one: _Read) -> tuple[str, ...]:
    """Return the sentences of a question that ask for a field which no pattern finds in it.

    A sentence in which a pattern finds another field that people name is about that field. If several fields are left,
    it is not known which words ask for which of them: nothing is returned, and the patterns that other questions
    suggest may tell in the next round.
    """
    searches = {other.name: any_of(other.patterns) for other in task.fields if one.said.get(other.name)}
    left = [name for name, search in searches.items() if name != field.name and not search(one.text)]
    if left:
        return ()
    others = [search for name, search in searches.items() if name != field.name]
    parts = tuple(sentences(one.text))
    return tuple(part for part in parts if not any(search(part) for search in others)) or parts


def _removed(
    field: InformationField, right: Sequence[_Read], wrong: Sequence[_Read]
) -> Iterator[tuple[str, tuple[str, ...]]]:
    for pattern in field.patterns:
        search = any_of((pattern,))
        against = [one.digest for one in wrong if search(one.text)]
        if len(against) >= _WRONG and len(against) > sum(search(one.text) is not None for one in right):
            yield pattern, tuple(sorted(against))


def _patterns(
    field: str,
    missed: Sequence[_Read],
    right: Sequence[_Read],
    wrong: Sequence[_Read],
    corpus: Sequence[Finding],
    asked: Asked,
    others: Search,
) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield patterns until every missed question is matched, or no candidate is left."""
    scored: dict[str, tuple[float, frozenset[int]]] = {}
    places = _places(
        {pattern for one in missed for part in one.parts for pattern in _candidates(part)}, corpus
    )
    for pattern, matched in places.items():
        search = any_of((pattern,))
        if any(search(one.text) for one in wrong):
            continue
        read = [frozenset(words(one.text)) for one in right if search(one.text)]
        trust = _trust(field, [corpus[place] for place in matched], asked, read, search, others)
        if trust >= _TRUSTED:
            nameless = frozenset(place for place in matched if not corpus[place].asks.get(LABELLER))
            scored[pattern] = trust, nameless
    open_, covered = list(missed), frozenset[int]()
    while open_:
        useful = [p for p in sorted(scored) if any(any_of((p,))(one.text) for one in open_)]
        if not useful:
            return
        # Ties go to the longer pattern, which means fewer false matches.
        best = max(useful, key=lambda p: (scored[p][0] * (1 + len(scored[p][1] - covered)), len(p)))
        search = any_of((best,))
        yield best, tuple(sorted(one.digest for one in open_ if search(one.text)))
        open_ = [one for one in open_ if not search(one.text)]
        covered |= scored.pop(best)[1]


def _places(patterns: set[str], corpus: Sequence[Finding]) -> dict[str, list[int]]:
    """Return the questions that each of these patterns matches within a sentence, by their places."""
    found: dict[str, list[int]] = {pattern: [] for pattern in patterns}
    for place, finding in enumerate(corpus):
        for pattern in patterns.intersection(_candidates(finding.text)):
            found[pattern].append(place)
    return found


def _trust(
    field: str,
    matched: Sequence[Finding],
    asked: Asked,
    read: Sequence[frozenset[str]],
    search: Search,
    others: Search,
) -> float:
    """Return how far answers and findings support that matched questions ask for the field.

    What counts is what the pattern would change: the questions for which the labeller does not find the field yet.
    Those that people say ask for it count most; `read` are their words. A question speaks for it in which a grader
    finds the field, and one against it that a pattern of another field (`others`) matches in the same sentence. Any
    other question is what a missing pattern looks like: it speaks against it, a little, if it has other words than the
    questions that people read, or if graders find another field, unless people have contradicted them twice.
    """
    support, against = _READ * len(read), 0.0
    for finding in matched:
        labelled = finding.asks.get(LABELLER, ())
        if field in labelled:
            continue
        chance = asked.get((finding.session_id, finding.turn), {}).get(field, 0.0)
        graded = max((chances.get(field, 0.0) for chances in finding.chances.values()), default=0.0)
        if max(chance, graded) >= ASKED_FROM:
            support += 1
        elif labelled and any(others(part) for part in sentences(finding.text) if search(part)):
            against += 1
        elif not _like(frozenset(words(finding.text)), read) or (
            not labelled and any(finding.asks.values()) and len(read) < 2
        ):
            against += _LITTLE
    return support / (support + against) if support + against else 0.0


def _like(said: frozenset[str], read: Sequence[frozenset[str]]) -> bool:
    """Whether a question shares most of its words with one that people read, or that one with it."""
    return any(len(said & other) >= _SHARED * min(len(said), len(other)) for other in read)


def _candidates(text: str) -> Iterator[str]:
    """Yield the patterns of all runs of one to four words within a sentence that may ask."""
    for sentence in (*sentences(text), *question_parts(text)):
        plain = plain_text(sentence)
        if is_unspaced(plain):
            yield from _runs([re.escape(word) for word in words(plain)], r"\W*", edge="")
        else:
            yield from _runs([re.escape(word.lower()) for word in _WORD.findall(plain)], r"\W+", edge=r"\b")


def _runs(parts: Sequence[str], between: str, *, edge: str) -> Iterator[str]:
    for size in range(1, _MOST_WORDS + 1):
        for start in range(len(parts) - size + 1):
            run = parts[start : start + size]
            if size > 1 or len(run[0]) >= _LEAST_LETTERS:
                yield f"{edge}{between.join(run)}{edge}"
            if edge and len(run[-1]) >= _STEM_LETTERS:  # other endings of the last word too
                yield f"{edge}{between.join([*run[:-1], run[-1][:_STEM_LETTERS]])}"


def apply_edits(pack: Pack, edits: Iterable[Edit]) -> Pack:
    """Return the pack with the edits. Raises ValidationError when a pattern is no regular expression."""
    wanted: dict[tuple[str, str], list[Edit]] = defaultdict(list)
    for edit in edits:
        wanted[edit.task, edit.field].append(edit)
    tasks = [
        task.model_copy(
            update={"fields": tuple(_edited(field, wanted[task.name, field.name]) for field in task.fields)}
        )
        for task in pack.tasks
    ]
    return pack.with_tasks(tasks)


def _edited(field: InformationField, edits: Sequence[Edit]) -> InformationField:
    patterns, questions = list(field.patterns), list(field.questions)
    for edit in edits:
        if edit.action == "remove pattern":
            patterns.remove(edit.text)
        elif edit.action == "add pattern" and edit.text not in patterns:
            patterns.append(edit.text)
        elif edit.action == "add question" and edit.text not in questions:
            questions.append(edit.text)
    return InformationField.model_validate(
        {**dict(field), "patterns": tuple(patterns), "questions": tuple(questions)}
    )
