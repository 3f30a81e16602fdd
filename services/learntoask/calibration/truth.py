"""The human truth at decision points, for metrics that are corrected by it (PPI++, docs/calibration.md)."""

from __future__ import annotations

from collections.abc import Sequence

from learntoask.calibration.answers import Answered, acts_said, goals_said
from learntoask.core.records import Decision, Record
from learntoask.review.records import RESERVE

TRUTH_FILE = "truth.jsonl"


class HumanPoint(Record):
    """The human truth at one decision point of the evaluation split.

    `target` are the fields of the micro-goal, empty at a stop. `inclusion` is the probability with which the point was
    drawn from its `stratum`; points are weighted by its inverse.
    """

    session_id: str
    turn: int  # index into Session.turns
    decision: Decision
    target: frozenset[str]
    stratum: str
    inclusion: float


def human_points(answered: Sequence[Answered]) -> list[HumanPoint]:
    """Return the human truth of the anchor's decision points, by session and turn.

    People say where the expert acts, and elsewhere which fields are still asked for and given. A point where they say
    that nothing is, or about which they disagree, is left out, as a label stage leaves out a `continue` with an empty
    micro-goal. Turns that people were only asked one question about are no decision points here.
    """
    of_anchor = [one for one in answered if one.item.split == "anchor"]
    acts, goals = acts_said(of_anchor), goals_said(of_anchor)
    drawn = {
        (one.item.origin.session_id, one.item.origin.turn): one.item
        for one in of_anchor
        if one.item.kind in ("is_stop", "still_needed")
    }
    found = []
    for (session_id, turn), item in sorted(drawn.items()):
        goal = goals.get((session_id, turn), frozenset[str]())
        acting = acts.get((session_id, turn))
        if acting is None or acting is bool(goal):
            continue
        decision: Decision = "stop" if acting else "continue"
        found.append(
            HumanPoint(
                session_id=session_id,
                turn=turn,
                decision=decision,
                target=goal,
                stratum=item.stratum.removeprefix(RESERVE),
                inclusion=item.inclusion,
            )
        )
    return found
