"""What becomes of doubted labels: kept, purged or corrected, as people's answers to like doubts say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from learntoask.calibration.labels.doubts import Doubt, doubts_by_bin, is_sure
from learntoask.calibration.labels.evidence import Implied, TurnKey

Fate = Literal["keep", "purge", "correct"]
_FEWEST = 3  # answers about a bin before its labels are changed
_CORRECT_FROM = 0.75  # share of implied labels that are right from which they replace the published ones
_PURGE_FROM = 0.5  # share of published labels that are wrong from which they are purged


@dataclass(frozen=True)
class BinRecord:
    """What people say of the doubts of one bin, and what becomes of the others."""

    doubts: int
    answered: int
    wrong: int  # published labels that people reject
    implied_right: int
    fate: Fate


@dataclass(frozen=True)
class Verdict:
    """What becomes of one label. `by_people` says that a person answered about this very label."""

    doubt: Doubt
    fate: Fate
    by_people: bool
    decision: Literal["continue", "stop"] | None  # of the corrected label
    fields: frozenset[str]  # of the corrected label


@dataclass(frozen=True)
class People:
    """What people say about labels: of (turn, field) pairs, whether an expert acts, and whole micro-goals."""

    pairs: Mapping[TurnKey, Mapping[str, bool]]
    acts: Mapping[TurnKey, bool]
    goals: Mapping[TurnKey, frozenset[str]]


Label = tuple[Literal["continue", "stop"] | None, frozenset[str]]
"""A decision and its fields; None where nothing is asked any more and the expert does not act yet."""


def judge_doubts(
    doubts: Sequence[Doubt], said: Mapping[TurnKey, Label]
) -> tuple[list[Verdict], dict[str, BinRecord]]:
    """Return the verdicts on doubts, and the record of each bin.

    `doubts` are those of the judges alone. Doubts that a person raised by an answer would count as wrong by
    construction, and the bin would look worse than it is. `said` are the labels that people give, see `labels_said`.
    The other doubts get the fate of their bin, which needs at least three answers.
    """
    verdicts: list[Verdict] = []
    records: dict[str, BinRecord] = {}
    for name, members in doubts_by_bin(doubts).items():
        answered = [doubt for doubt in members if doubt.key in said]
        wrong = sum(said[doubt.key] != published_label(doubt) for doubt in answered)
        right = sum(said[doubt.key] == implied_label(doubt.implied) for doubt in answered)
        fate = decide_fate(len(answered), wrong, right)
        records[name] = BinRecord(len(members), len(answered), wrong, right, fate)
        for doubt in members:
            if doubt.key not in said:
                verdicts.append(Verdict(doubt, fate, False, *implied_label(doubt.implied)))
    return verdicts, records


def by_people(doubts: Sequence[Doubt], said: Mapping[TurnKey, Label]) -> list[Verdict]:
    """Return the verdicts on doubts that people have answered about."""
    return [
        Verdict(
            doubt,
            "keep" if said[doubt.key] == published_label(doubt) else "correct",
            True,
            *said[doubt.key],
        )
        for doubt in doubts
        if doubt.key in said
    ]


def labels_said(
    doubts: Sequence[Doubt], implied: Mapping[str, Sequence[Implied]], people: People
) -> dict[TurnKey, Label]:
    """Return the labels that people give to doubted decision points.

    They do so by an answer about the point itself, or by answers about the questions that decide it. `implied` are the
    labels of each session that findings and answers together imply.
    """
    found: dict[TurnKey, Label] = {}
    for doubt in doubts:
        said = _said(doubt, implied[doubt.log.session_id][doubt.turn], people)
        if said is not None:
            found[doubt.key] = said
    return found


def published_label(doubt: Doubt) -> Label:
    """Return the published label of a doubted decision point."""
    if doubt.sample is None:
        return None, frozenset()
    return doubt.sample.decision, frozenset(item.field for item in doubt.sample.remaining)


def implied_label(implied: Implied) -> Label:
    """Return the label that findings imply."""
    return implied.label, implied.fields


def _said(doubt: Doubt, implied: Implied, people: People) -> Label | None:
    acts = people.acts.get(doubt.key)
    if doubt.key in people.goals:
        fields = people.goals[doubt.key]
        stops = not fields and (implied.acts or acts is True)
        return ("continue" if fields else "stop" if stops else None), fields
    if acts is True:
        return "stop", frozenset()
    if acts is False:
        return implied_label(implied) if implied.items else (None, frozenset())
    return implied_label(implied) if _settled(doubt, implied, people) else None


def _settled(doubt: Doubt, implied: Implied, people: People) -> bool:
    """Whether people have answered about a question that decides the doubt, and no other one leaves it open."""
    session, deciding = doubt.log.session_id, {**doubt.implied.deciding, **implied.deciding}
    answered = {
        field
        for field in doubt.differing
        if field in deciding and field in people.pairs.get((session, deciding[field]), {})
    }
    return bool(answered) and all(is_sure(implied, field) for field in doubt.differing - answered)


def decide_fate(answered: int, wrong: int, right: int) -> Fate:
    """Return what becomes of the labels of a bin: `right` implied and `wrong` published ones of those answered."""
    if answered < _FEWEST:
        return "keep"
    if (right + 1) / (answered + 2) >= _CORRECT_FROM:
        return "correct"
    return "purge" if (wrong + 1) / (answered + 2) >= _PURGE_FROM else "keep"
