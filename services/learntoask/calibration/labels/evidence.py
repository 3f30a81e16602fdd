"""The label that findings imply at each decision point, which may differ from the published one."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from learntoask.calibration.draw.findings import LABELLER, Finding
from learntoask.calibration.labels.posterior import JudgeRates, Votes, dawid_skene
from learntoask.calibration.labels.sessions import LabelledLog
from learntoask.core.pack import Pack
from learntoask.core.records import Decision, Item

ASKED_FROM = 0.5
_NEGLIGIBLE = 0.05  # probability of a question below which nobody looks whether it was answered
TurnKey = tuple[str, int]
"""(session id, turn)"""
Asked = Mapping[TurnKey, Mapping[str, float]]
"""For each turn with words, the probability of each field that the turn asks for it."""


def judges_of(findings: Iterable[Finding]) -> tuple[str, ...]:
    """Return the names of all judges, sorted."""
    return tuple(sorted({judge for finding in findings for judge in finding.asks}))


def asked_chances(
    findings: Sequence[Finding], people: Mapping[TurnKey, Mapping[str, bool]], *, pack: Pack
) -> tuple[Asked, JudgeRates | None]:
    """Return how probable it is that each turn asks for each field, and the rates of the judges in sorted order.

    `people` holds what people say of (turn, field) pairs; it decides those pairs, and shows how good the judges are.
    """
    judges = judges_of(findings)
    pairs = [(finding, field.name) for finding in findings for field in pack.task(finding.task).fields]
    if not pairs:
        return {}, None
    votes: Votes = np.full((len(pairs), len(judges)), -1, dtype=np.int8)
    known = np.full(len(pairs), np.nan)
    for row, (finding, field) in enumerate(pairs):
        for column, judge in enumerate(judges):
            if judge in finding.asks:
                votes[row, column] = field in finding.asks[judge]
        said = people.get((finding.session_id, finding.turn), {}).get(field)
        if said is not None:
            known[row] = said
    chances, rates = dawid_skene(votes, known)
    found: dict[TurnKey, dict[str, float]] = defaultdict(dict)
    for (finding, field), chance in zip(pairs, chances, strict=True):
        found[finding.session_id, finding.turn][field] = float(chance)
    return found, rates


@dataclass(frozen=True)
class Implied:
    """The label that findings imply at a decision point.

    `items` are the fields that the expert probably still asks for and obtains, `chances` their probability by field
    (also of those that are improbable). `deciding` are the turns that these probabilities come from.
    """

    acts: bool
    items: tuple[Item, ...]
    chances: Mapping[str, float]
    deciding: Mapping[str, int]

    @property
    def fields(self) -> frozenset[str]:
        return frozenset(item.field for item in self.items)

    @property
    def label(self) -> Decision | None:
        """`continue`, `stop`, or None where nothing is asked any more and the expert does not act yet."""
        return "continue" if self.items else "stop" if self.acts else None


@dataclass(frozen=True)
class Evidence:
    """What judges and people find: the fields that turns ask for, those that the labeller found requested, where people
    say that the expert acts or does not, and the turns about whose question the judges differ."""

    asked: Asked
    requested: Mapping[TurnKey, frozenset[str]]
    acts: Mapping[TurnKey, bool]
    doubted: frozenset[TurnKey]

    @classmethod
    def of(cls, findings: Sequence[Finding], asked: Asked, acts: Mapping[TurnKey, bool]) -> Evidence:
        requested = {
            (one.session_id, one.turn): frozenset(one.asks[LABELLER])
            for one in findings
            if LABELLER in one.asks
        }
        doubted = frozenset((one.session_id, one.turn) for one in findings if one.doubtful)
        return cls(asked, requested, acts, doubted)


def implied_labels(log: LabelledLog, evidence: Evidence) -> list[Implied]:
    """Return the implied label of each turn of the log."""
    asked, acts = evidence.asked, evidence.acts
    session, count = log.log, len(log.log.turns)
    act = log.acts_at
    for turn in range(count):
        if acts.get((log.session_id, turn)):
            act = turn
            break
        if act == turn and acts.get((log.session_id, turn)) is False:
            act = None
    found: list[Implied] = []
    chances: dict[str, float] = {}
    deciding: dict[str, int] = {}
    items: dict[str, Item] = {}
    for turn in reversed(range(count)):
        key = session.session_id, turn
        here = asked.get(key, {}) if act is None or turn < act else {}
        for field, chance in here.items():
            if chance < _NEGLIGIBLE:
                continue
            item = log.item(turn, field, labelled=field in evidence.requested.get(key, ()))
            worth = chance if item is not None else 0.0
            if worth >= chances.get(field, -1.0):
                chances[field], deciding[field] = worth, turn
            if item is not None and chance >= ASKED_FROM:
                kept = items.pop(field, item)
                items[field] = kept  # the value that is given last, at the place of the first question
        found.append(
            Implied(
                acts=turn == act,
                items=tuple(reversed(items.values())) if turn != act else (),
                chances=dict(chances),
                deciding=dict(deciding),
            )
        )
    return found[::-1]
