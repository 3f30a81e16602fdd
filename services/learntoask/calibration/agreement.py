"""κ of each judge with people, on items whose inclusion probabilities are known."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import JsonValue

from learntoask.calibration.answers import Answered
from learntoask.calibration.labels.evidence import TurnKey
from learntoask.review.agreement import Pair, agreement
from learntoask.statistics.inclusion import Design, inverse_weights
from learntoask.statistics.kappa import kappa_estimate

Floats = NDArray[np.float64]
_ONE_SIDED = 0.95
_FEWEST_BY_FIELD = 10  # pairs of a field below which its κ says nothing

Judgement = Callable[[TurnKey], frozenset[str] | None]
"""What a judge finds at a turn; None if it finds no answer."""


@dataclass(frozen=True)
class Pairs:
    """What a judge and people say of (turn, field) pairs, or of turns where the question is about stopping.

    `judge` and `people` are True for chosen, `fields` their names, and `items` the place of the item in `design`; they
    have one entry per pair. `missing` counts items without a finding of the judge.
    """

    judge: NDArray[np.bool_]
    people: NDArray[np.bool_]
    fields: tuple[str, ...]
    items: NDArray[np.int64]
    design: Design
    missing: int

    def tables(self, field: str | None = None) -> Floats:
        """Return the tables of all items, weighted by 1/π, [items, 2, 2]: judge by people.

        With a `field`, only its pairs count.
        """
        tables = np.zeros((len(self.design.strata), 2, 2))
        kept = np.array([field is None or name == field for name in self.fields], dtype=bool)
        rows = self.items[kept]
        weights = inverse_weights(self.design.inclusion)[rows]
        np.add.at(tables, (rows, self.judge[kept].astype(int), self.people[kept].astype(int)), weights)
        return tables


def pairs_with(answered: Iterable[Answered], judge: Judgement) -> Pairs:
    """Compare a judge with people on answered items of one kind. Choices that people disagree on are left out.

    A missing finding counts as one that finds nothing, because a judge must not gain by staying silent.
    """
    judged = list(answered)
    rows: list[tuple[bool, bool, str, int]] = []
    missing = 0
    for place, one in enumerate(judged):
        found = judge((one.item.origin.session_id, one.item.origin.turn))
        missing += found is None
        for key, said in sorted(one.keys.items()):
            if one.item.kind == "is_stop" and key == "no":
                continue  # the other half of the same answer
            rows.append((key in (found or ()), said, key, place))
    columns = list(zip(*rows, strict=True)) if rows else [(), (), (), ()]
    return Pairs(
        judge=np.array(columns[0], dtype=bool),
        people=np.array(columns[1], dtype=bool),
        fields=tuple(columns[2]),
        items=np.array(columns[3], dtype=np.int64),
        design=Design(
            tuple(one.item.origin.session_id for one in judged),
            tuple(one.item.stratum for one in judged),
            np.array([one.item.inclusion for one in judged]),
        ),
        missing=missing,
    )


def figures(pairs: Pairs) -> dict[str, JsonValue]:
    """Return κ with its 95 % interval, its one-sided 95 % bound, and the numbers that it rests on; by field too."""
    if not len(pairs.people):
        return {"kappa": None, "answers": 0}
    asked = int(pairs.people.sum())
    by_field: dict[str, JsonValue] = {}
    for field in sorted(set(pairs.fields)):
        chosen = np.array([name == field for name in pairs.fields])
        if chosen.sum() >= _FEWEST_BY_FIELD and pairs.people[chosen].any():
            by_field[field] = _kappa(pairs, field) | {
                "pairs": int(chosen.sum()),
                "asked": int(pairs.people[chosen].sum()),
            }
    return {
        **_kappa(pairs),
        "pairs": len(pairs.people),
        "rarer": min(asked, len(pairs.people) - asked),
        "answers": len(pairs.design.strata),
        "missing": pairs.missing,
        "by_field": by_field if len(by_field) > 1 else {},
    }


def _kappa(pairs: Pairs, field: str | None = None) -> dict[str, JsonValue]:
    tables = pairs.tables(field)
    # Weights are scaled to a mean of 1, as `kappa_estimate` wants them.
    count = len(pairs.fields) if field is None else pairs.fields.count(field)
    estimate = kappa_estimate(tables * (count / tables.sum()), pairs.design)
    low, high = estimate.interval()
    return {
        "kappa": round(estimate.value, 4),
        "low": round(low, 4),
        "high": round(high, 4),
        "bound": round(estimate.lower_bound(_ONE_SIDED), 4),
        "sessions": estimate.sessions,
    }


def between_people(answered: Iterable[Answered]) -> dict[str, JsonValue]:
    """Return the agreement of different people on the items that several of them answered."""
    found = agreement(list(_twice(answered)))
    return {
        "items": found.items,
        "same": found.same,
        "kappa": None if found.kappa is None else round(found.kappa, 4),
    }


def _twice(answered: Iterable[Answered]) -> Iterator[Pair]:
    for one in answered:
        said = [answer for _, answer in sorted(one.by_reviewer.items())]
        for place, first in enumerate(said):
            for second in said[place + 1 :]:
                yield one.item, first, second
