"""Mine the patterns of all fields from labelled questions, and measure them on sessions that they were not made from.

A field has its own patterns in each task, because they only have to tell it from the other fields of that task: "what
date" is enough where a single date is asked for. The questions of all tasks show how it is asked for.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass

from learntoask.core.text.characters import one_line
from learntoask.induction.patterns.mining import MessageIndex, MinedPattern, Target, frame_words, mine
from learntoask.induction.patterns.tokens import Gram, grams

_LEAST_FOUND = 0.3  # share of a field's messages in a task that patterns find, from which it is a field there
_ENOUGH_FOUND = 4  # such messages, or all if there are fewer


@dataclass(frozen=True)
class ExpertMessage:
    """An expert message without end markers. `fields` are those it asks for, as far as the clusters know.

    `unclear` says that it asks for something that is in no cluster, so it shows nothing about other fields.
    """

    session: int
    task: str | None
    text: str
    fields: frozenset[int]
    units: tuple[tuple[int, str], ...]  # (field, text of the question)
    unclear: bool


@dataclass(frozen=True)
class FieldPatterns:
    """The patterns of a field by task, and how far they find its messages."""

    by_task: Mapping[str, tuple[MinedPattern, ...]]
    matched: int  # messages of the field that a pattern of their task matches
    held_out_precision: float | None  # on sessions that the patterns were not made from
    held_out_coverage: float | None


def mine_fields(messages: Sequence[ExpertMessage], uses: Sequence[Set[str]]) -> list[FieldPatterns]:
    """Return the patterns of each field in each of its tasks `uses`."""
    index = MessageIndex(one_line(message.text) for message in messages)
    candidates = _candidates(messages, index)
    frame = frame_words([_texts_of(messages, field) for field in range(len(uses))])
    by_task: dict[str, list[ExpertMessage]] = defaultdict(list)
    for message in messages:
        if message.task is not None:
            by_task[message.task].append(message)
    found = []
    for field, tasks in enumerate(uses):
        own = {
            gram: candidates.texts[gram] for gram in candidates.of_field[field] if gram in candidates.texts
        }
        miner = _Miner(field, index, own, frame, {task: by_task[task] for task in sorted(tasks)})
        patterns = miner.patterns(halves=(0, 1))
        matched, _, _ = miner.counts(patterns, halves=(0, 1))
        right = wrong = total = 0
        for half in (0, 1):
            counted = miner.counts(miner.patterns(halves=(half,)), halves=(1 - half,))
            right, wrong, total = (sum(pair) for pair in zip((right, wrong, total), counted, strict=True))
        found.append(
            FieldPatterns(
                patterns,
                matched,
                right / (right + wrong) if right else None,
                right / total if total else None,
            )
        )
    return found


@dataclass(frozen=True)
class _Miner:
    """Mines the patterns of one field in each of its tasks."""

    field: int
    index: MessageIndex
    candidates: Mapping[Gram, set[int]]
    frame: frozenset[str]
    messages: Mapping[str, Sequence[ExpertMessage]]  # by task

    def patterns(self, *, halves: Sequence[int]) -> dict[str, tuple[MinedPattern, ...]]:
        """Return the patterns by task, made from every second session or from all."""
        of_task = {task: self._target(messages, halves) for task, messages in self.messages.items()}
        whole = Target(
            _added(target.wanted for target in of_task.values()),
            _added(target.others for target in of_task.values()),
        )
        found = {
            task: tuple(mine(whole, self.candidates, frame=self.frame, within=target))
            for task, target in of_task.items()
        }
        return {
            task: patterns if self._finds_enough(patterns, of_task[task], len(halves) / 2) else ()
            for task, patterns in found.items()
        }

    def _finds_enough(self, patterns: Iterable[MinedPattern], target: Target, part: float) -> bool:
        """Whether the patterns find enough messages of a task, or of a part of it, for the field to be one of it."""
        texts = set().union(*(self.candidates[pattern.gram] for pattern in patterns))
        right, wrong = target.counts(texts)
        total = sum(target.wanted.values())
        return right >= max(_LEAST_FOUND * total, min(_ENOUGH_FOUND * part, total)) and right > wrong

    def _target(self, messages: Iterable[ExpertMessage], halves: Sequence[int]) -> Target:
        wanted: Counter[int] = Counter()
        others: Counter[int] = Counter()
        for message in messages:
            if message.session % 2 not in halves:
                continue
            text = self.index.number[one_line(message.text)]
            if self.field in message.fields:
                wanted[text] += 1
            elif not message.unclear:
                others[text] += 1
        return Target(wanted, others)

    def counts(
        self, patterns: Mapping[str, Sequence[MinedPattern]], *, halves: Sequence[int]
    ) -> tuple[int, int, int]:
        """Return how many messages of the field are matched, how many others, and how many the field has."""
        right = wrong = total = 0
        for task, messages in self.messages.items():
            found = set().union(*(self.candidates[pattern.gram] for pattern in patterns[task]))
            for message in messages:
                if message.session % 2 not in halves:
                    continue
                asks = self.field in message.fields
                hit = self.index.number[one_line(message.text)] in found
                right += asks and hit
                wrong += hit and not asks and not message.unclear
                total += asks
        return right, wrong, total


@dataclass(frozen=True)
class _Candidates:
    of_field: Mapping[int, Set[Gram]]
    texts: Mapping[Gram, set[int]]


def _candidates(messages: Sequence[ExpertMessage], index: MessageIndex) -> _Candidates:
    """Return the grams of each field's questions that at least two messages have."""
    of_field: dict[int, Counter[Gram]] = defaultdict(Counter)
    units: Counter[tuple[int, str]] = Counter(unit for message in messages for unit in message.units)
    for (field, text), number in units.items():
        for gram in grams(text):
            of_field[field][gram] += number
    kept = {
        field: {gram for gram, number in found.items() if number > 1 and not gram.is_torn}
        for field, found in of_field.items()
    }
    wanted = set().union(*kept.values()) if kept else set()
    return _Candidates(defaultdict(set, kept), index.with_grams(wanted))


def _texts_of(messages: Iterable[ExpertMessage], field: int) -> set[str]:
    return {text for message in messages for of, text in message.units if of == field}


def _added(parts: Iterable[Mapping[int, int]]) -> Counter[int]:
    total: Counter[int] = Counter()
    for part in parts:
        total.update(part)
    return total
