"""Decide whether a revision of a labeller or grader is accepted, by answers that nothing was fitted to.

The sealed `anchor` answers are a budget: every look at them tells a little about them, and the best of many revisions
looks better than it is. So a look is counted, its bound is wider the more looks are allowed, and a look is a record
that the lineage keeps.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from learntoask.calibration.gate import JudgedItem, item_tables, rarer_class
from learntoask.core.records import Record
from learntoask.statistics.bootstrap import Floats
from learntoask.statistics.clusters import totals_by_cluster
from learntoask.statistics.kappa import kappa
from learntoask.statistics.paired import kappa_difference

REST = "others"
"""Name under which the fields with too few answers are measured together."""
_FEWEST_OF_FIELD = 10  # answers of the rarer class with which a field is measured alone
_RESAMPLES = 4000
_ROUND_SHARE = 0.8  # of the error probability that is left


class RevisedItem(Record):
    """An anchor item with the machine's answers before and after the revision; None where its grade is missing."""

    session_id: str
    choices: frozenset[str]
    person: frozenset[str]
    before: frozenset[str] | None
    after: frozenset[str] | None
    stratum: str = ""
    inclusion: float = 1.0


class AcceptanceSettings(Record):
    """What a revision has to show. A field may lose `largest_fall` of κ.

    The error probability 1 − `confidence` is for all rounds of answers together: four fifths of it for the first
    `round` (0), because people mostly answer once, then four fifths of the rest, and so on. The `looks` of a round
    share its part evenly.
    """

    confidence: float = 0.9
    looks: int = 5
    round: int = 0
    largest_fall: float = 0.05

    @property
    def look_confidence(self) -> float:
        """The confidence of each look of this round."""
        error = (1 - self.confidence) * _ROUND_SHARE * (1 - _ROUND_SHARE) ** self.round
        return 1 - error / self.looks


class AnchorLook(Record):
    """A look at the anchor, for the lineage. `revision` is the digest of what was tried, `anchor` that of the answers.

    `low` is the one-sided lower bound of the paired difference of κ at this look's `confidence`. `fallen` is the field
    whose κ fell most and `fall` by how much. `missing_before` and `missing_after` count missing grades.
    """

    number: int
    revision: str
    anchor: str
    items: int
    kappa_before: float
    kappa_after: float
    low: float
    confidence: float
    fallen: str | None
    fall: float
    missing_before: int
    missing_after: int
    accepted: bool
    reason: str


class Acceptance(Record):
    """The outcome for a revision. `spent` means that the anchor has no look left, so fresh items must be drawn.

    `looks` are all looks at this anchor so far, to be kept with the lineage and given to the next decision.
    """

    outcome: Literal["accepted", "rejected", "spent"]
    reason: str
    looks: tuple[AnchorLook, ...]


def judge_revision(
    items: Sequence[RevisedItem],
    *,
    revision: str,
    anchor: str,
    looks: Sequence[AnchorLook] = (),
    settings: AcceptanceSettings | None = None,
    seed: int = 0,
) -> Acceptance:
    """Decide about `revision` by the answers of `anchor`, of which `items` are all.

    It is accepted if the lower bound of its gain in κ is above 0, no field loses more than `largest_fall`, and no more
    grades are missing. Looks at other anchors in `looks` do not count. A revision that was looked at before keeps its
    outcome and costs no look, so a stage that starts again decides the same. Raises ValueError if no item has both
    grades.
    """
    settings = settings or AcceptanceSettings()
    taken = [look for look in looks if look.anchor == anchor]
    for look in taken:
        if look.revision == revision:
            return Acceptance(
                outcome="accepted" if look.accepted else "rejected", reason=look.reason, looks=tuple(looks)
            )
    if len(taken) >= settings.looks:
        reason = f"the anchor's {settings.looks} looks are spent; draw fresh items and have them answered"
        return Acceptance(outcome="spent", reason=reason, looks=tuple(looks))
    look = _look(items, len(taken) + 1, revision, anchor, settings, seed)
    return Acceptance(
        outcome="accepted" if look.accepted else "rejected", reason=look.reason, looks=(*looks, look)
    )


def _look(
    items: Sequence[RevisedItem],
    number: int,
    revision: str,
    anchor: str,
    settings: AcceptanceSettings,
    seed: int,
) -> AnchorLook:
    graded = [item for item in items if item.before is not None and item.after is not None]
    before, after, strata = _tables(graded)
    difference = kappa_difference(before, after, strata=strata, resamples=_RESAMPLES, seed=seed)
    confidence = settings.look_confidence
    low = difference.lower_bound(confidence)
    fallen, fall = _largest_fall(graded)
    missing_before = sum(item.before is None for item in items)
    missing_after = sum(item.after is None for item in items)
    faults = []
    if low <= 0:
        faults.append(f"the lower bound of its gain in κ is {low:+.3f}, and must be above 0")
    if fall > settings.largest_fall:
        faults.append(f"κ of {fallen} falls by {fall:.2f}, more than {settings.largest_fall:g}")
    if missing_after > missing_before:
        faults.append(f"{missing_after} grades are missing instead of {missing_before}")
    return AnchorLook(
        number=number,
        revision=revision,
        anchor=anchor,
        items=len(graded),
        kappa_before=float(kappa(before.sum(axis=0))),
        kappa_after=float(kappa(after.sum(axis=0))),
        low=low,
        confidence=confidence,
        fallen=fallen,
        fall=fall,
        missing_before=missing_before,
        missing_after=missing_after,
        accepted=not faults,
        reason="; ".join(faults) or f"κ rises by {difference.value:+.3f}, lower bound {low:+.3f}",
    )


def _tables(items: Sequence[RevisedItem]) -> tuple[Floats, Floats, list[str]]:
    """Return the tables before and after of each session's items in each stratum, and the stratum of each table."""
    if not items:
        raise ValueError("no anchor item is graded both before and after the revision")
    judged = [_judged(item, item.choices) for item in items]
    rows = [f"{item.stratum}\n{item.session_id}" for item in items]
    before, after = (
        totals_by_cluster(item_tables(judged, answers), rows)
        for answers in (
            [item.before or frozenset() for item in items],
            [item.after or frozenset() for item in items],
        )
    )
    return before, after, [row.split("\n")[0] for row in dict.fromkeys(rows)]


def _largest_fall(items: Sequence[RevisedItem]) -> tuple[str | None, float]:
    """Return the field whose κ falls most, and by how much; fields with few answers are measured together."""
    fields = sorted({field for item in items for field in item.choices})
    groups: dict[str, frozenset[str]] = {}
    rest: set[str] = set()
    for field in fields:
        only = [_judged(item, item.choices & {field}) for item in items]
        if rarer_class(only) >= _FEWEST_OF_FIELD:
            groups[field] = frozenset({field})
        else:
            rest.add(field)
    if rest:
        groups[REST] = frozenset(rest)
    falls = [(_fall(items, group), name) for name, group in groups.items()]
    fall, name = max(falls, default=(0.0, ""))
    return (name, fall) if fall > 0 else (None, 0.0)


def _fall(items: Sequence[RevisedItem], group: frozenset[str]) -> float:
    judged = [_judged(item, item.choices & group) for item in items if item.choices & group]
    before, after = (
        float(kappa(item_tables(judged, answers).sum(axis=0)))
        for answers in (
            [item.before or frozenset() for item in items if item.choices & group],
            [item.after or frozenset() for item in items if item.choices & group],
        )
    )
    return before - after


def _judged(item: RevisedItem, choices: frozenset[str]) -> JudgedItem:
    return JudgedItem(
        session_id=item.session_id,
        choices=choices,
        person=item.person,
        machine=item.before or frozenset(),
        stratum=item.stratum,
        inclusion=item.inclusion,
    )
