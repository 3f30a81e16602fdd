"""Answers to items of earlier draws, which another judge, encoder, seed or budget has left out of the present one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from learntoask.calibration.answers import Answered, collect
from learntoask.calibration.draw.findings import Finding
from learntoask.calibration.draw.items import Drawn, Items
from learntoask.calibration.draw.plan import split_of
from learntoask.calibration.labels.evidence import TurnKey
from learntoask.core.pack import Pack
from learntoask.core.records import Session
from learntoask.review.records import CarriedItem, ReviewItem


def still_asked(
    carried: Iterable[CarriedItem],
    *,
    pack: Pack,
    sessions: Mapping[str, Session],
    findings: Mapping[TurnKey, Finding],
    seed: int,
) -> list[Answered]:
    """Return the carried items that would be asked in the same words today, with their answers.

    `sessions` are those that are not measured on, so that labels and revisions may be made from the answers. An item
    counts if the present logs and pack give an item of the same name, which says that a person would see the same.
    """
    items, found = Items(pack, run=pack.name, output=""), list[Answered]()
    for one in carried:
        session = sessions.get(one.item.origin.session_id)
        if session is None or session.task != one.item.task:
            continue
        split = split_of(session.session_id, seed=seed)
        drawn = Drawn(one.item.stratum, one.item.inclusion, split, one.item.why)
        again = _again(items, one.item, session, findings, drawn)
        if again is not None and again.digest == one.item.digest:
            found += collect([again], one.answers).answered
    return found


def _again(
    items: Items, item: ReviewItem, session: Session, findings: Mapping[TurnKey, Finding], drawn: Drawn
) -> ReviewItem | None:
    """Return the same question about the same turn of the present logs; None if there is no such turn."""
    turn = item.origin.turn
    if turn >= len(session.turns):
        return None
    if item.kind == "asks_for":
        finding = findings.get((session.session_id, turn))
        return items.asks_for(session, finding, drawn) if finding is not None else None
    if item.kind == "is_stop":
        return items.is_stop(session, turn, {}, drawn)
    return items.still_needed(session, turn, {}, drawn)
