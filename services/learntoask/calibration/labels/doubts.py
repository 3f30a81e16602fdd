"""The published labels that the findings do not imply, in bins of like doubts."""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from learntoask.calibration.labels.evidence import Implied, TurnKey
from learntoask.calibration.labels.sessions import LabelledLog
from learntoask.core.records import Sample

DoubtKind = Literal["stop", "goal", "no label"]
_SURE = 0.95


@dataclass(frozen=True)
class Doubt:
    """A decision point whose label differs from the implied one.

    `kind`: a `stop` after which the expert asks on, a micro-`goal` of other fields, or a turn with `no label` although
    the expert asks on. `bin` names the doubts that are treated alike.
    """

    log: LabelledLog
    turn: int
    sample: Sample | None
    implied: Implied
    kind: DoubtKind
    differing: frozenset[str]
    bin: str

    @property
    def key(self) -> TurnKey:
        return self.log.session_id, self.turn

    @property
    def deciding(self) -> frozenset[int]:
        """The turns whose questions decide which of the two labels is right."""
        return frozenset(
            self.implied.deciding[field] for field in self.differing if field in self.implied.deciding
        )


def find_doubts(log: LabelledLog, implied: Sequence[Implied], doubted: Container[TurnKey]) -> Iterator[Doubt]:
    """Yield the doubts of a session, by turn. Turns after the published stop are not looked at.

    `doubted` are the turns about whose question the judges differ. A label that differs because of such a question is
    another case than one that differs although all judges understand the questions alike.
    """
    for turn in range(len(log.labelled.session.turns)):
        sample, here = log.samples.get(turn), implied[turn]
        stops = sample is not None and sample.decision == "stop"
        labelled = frozenset(item.field for item in sample.remaining) if sample else frozenset()
        if stops and here.acts and not here.items:
            continue
        differing = labelled ^ here.fields
        acts = not stops and sample is not None and here.acts
        if not differing and not acts:
            continue  # also turns without a label where nothing is asked any more
        kind: DoubtKind = "stop" if stops else "goal" if sample else "no label"
        sure = "sure" if not differing or any(is_sure(here, field) for field in differing) else "unsure"
        alike = "partly alike" if labelled & here.fields else "nothing alike"
        turns = {here.deciding[field] for field in differing if field in here.deciding}
        clear = not any((log.session_id, one) in doubted for one in turns)
        questions = "clear questions" if clear else "doubted questions"
        name = ", ".join([kind, *([alike] if kind == "goal" else []), sure, questions])
        yield Doubt(log, turn, sample, here, kind, differing, name)


def is_sure(implied: Implied, field: str) -> bool:
    """Whether the findings are sure that a field is, or is not, in the implied micro-goal."""
    chance = implied.chances.get(field, 0.0)
    return max(chance, 1 - chance) >= _SURE


def doubts_by_bin(doubts: Sequence[Doubt]) -> Mapping[str, list[Doubt]]:
    """Return the doubts of each bin, the bins by name."""
    found: dict[str, list[Doubt]] = {}
    for doubt in sorted(doubts, key=lambda one: (one.bin, one.key)):
        found.setdefault(doubt.bin, []).append(doubt)
    return found
