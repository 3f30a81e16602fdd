"""Recorded answers of both policies to the same conversations, as questions to people, and what people say.

People do not know which policy gave which answer. Each conversation is asked once, at the first answer that differs, so
that it is one observation.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from hashlib import blake2b
from pathlib import Path

import numpy as np

from learntoask.core.json_lines import read_records
from learntoask.core.records import STOP, Message, Record
from learntoask.core.status.rollout import JudgedPairs
from learntoask.review.records import Choice, Origin, ReviewAnswer, ReviewItem
from learntoask.statistics.prediction_powered import PredictionPoweredMean, ppi_mean

_CHOICES = ("1", "2")
_ALIKE = "alike"
_STOPS = "Ask nothing more"


class PolicyAnswer(Record):
    """What one policy says: a question, or the stop string."""

    answer: str
    policy_revision: str


class Pair(Record):
    """A line of `pairs-….jsonl`: two answers to one conversation that differ. `extra_faults` is how many more faults
    the canary's answer has than the control's."""

    rollout: str
    conversation: str
    task: str
    messages: tuple[Message, ...]
    control: PolicyAnswer
    canary: PolicyAnswer
    extra_faults: int


def read_pairs(paths: Iterable[Path], rollout: str) -> dict[str, list[Pair]]:
    """Return the pairs of a rollout by conversation, in the order of their messages. Raises InputError."""
    found: dict[str, list[Pair]] = {}
    for path in paths:
        for pair in read_records(path, Pair):
            if pair.rollout == rollout:
                found.setdefault(pair.conversation, []).append(pair)
    return {name: sorted(pairs, key=lambda pair: len(pair.messages)) for name, pairs in found.items()}


def items_of(pairs: Mapping[str, Sequence[Pair]]) -> list[ReviewItem]:
    """Return a question about each conversation in which the policies say different things."""
    differing = (next(filter(_differs, own), None) for own in pairs.values())
    return [_item(pair) for pair in differing if pair is not None]


def judged(
    rollout: str, items: Iterable[ReviewItem], answers: Iterable[ReviewAnswer]
) -> tuple[JudgedPairs, dict[str, int]]:
    """Return what people say, in all and by conversation: 1 if the canary's answer is the better one, 0 if both are as
    good, −1 if the control's is. Where people disagree the majority counts, and a decision between them before that."""
    conversations = {item.digest: item.origin.session_id for item in items}
    said: dict[str, list[int]] = {}
    decided: dict[str, int] = {}
    for answer in answers:
        name = conversations.get(answer.item)
        if name is None or answer.repeats is not None:
            continue
        value = _values(rollout, name).get(answer.answer)
        if value is not None:
            said.setdefault(name, []).append(value)
            if answer.adjudicated:
                decided[name] = value
    found = {name: decided.get(name, int(np.sign(sum(values)))) for name, values in said.items()}
    values = list(found.values())
    return (
        JudgedPairs(id=rollout, better=values.count(1), alike=values.count(0), worse=values.count(-1)),
        found,
    )


def estimate(pairs: Mapping[str, Sequence[Pair]], said: Mapping[str, int]) -> PredictionPoweredMean | None:
    """Estimate the mean of what people would say about all conversations that differ, from those that they judged and
    the faults that the patterns find in all; None before anybody has judged one."""
    names = [item.origin.session_id for item in items_of(pairs)]
    labels = np.array([float(said.get(name, math.nan)) for name in names])
    if np.isnan(labels).all():
        return None
    faults = [sum(pair.extra_faults for pair in pairs[name]) for name in names]
    return ppi_mean(labels, -np.sign(np.array(faults, dtype=float)), bounds=(-1.0, 1.0))


def _differs(pair: Pair) -> bool:
    return pair.control.answer != pair.canary.answer


def _item(pair: Pair) -> ReviewItem:
    answers = (pair.control, pair.canary)
    shown = answers if _control_is_first(pair.rollout, pair.conversation) else reversed(answers)
    texts = [_STOPS if one.answer == STOP else one.answer for one in shown]
    return ReviewItem(
        kind="better",
        task=pair.task,
        question="What should be said next?",
        messages=pair.messages,
        start=len(pair.messages) - 1,
        end=len(pair.messages),
        choices=(
            *(Choice(key=key, text=text) for key, text in zip(_CHOICES, texts, strict=True)),
            Choice(key=_ALIKE, text="Both are as good"),
        ),
        origin=Origin(
            run=pair.rollout,
            stage="shadow",
            output="",
            session_id=pair.conversation,
            turn=len(pair.messages),
        ),
        stratum="differs",
        inclusion=1.0,
        split="anchor",
        why="audit",
    )


def _values(rollout: str, conversation: str) -> dict[tuple[str, ...], int]:
    """Return what each answer means: 1 for the canary's, −1 for the control's."""
    first, second = (-1, 1) if _control_is_first(rollout, conversation) else (1, -1)
    return {(_CHOICES[0],): first, (_CHOICES[1],): second, (_ALIKE,): 0}


def _control_is_first(rollout: str, conversation: str) -> bool:
    """Return which policy has the first key. It differs from conversation to conversation, so that nothing gives away
    which policy an answer is from."""
    return bool(blake2b(f"{rollout}\0{conversation}\0pair".encode(), digest_size=1).digest()[0] & 1)
