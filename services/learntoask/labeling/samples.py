"""From what a labeller found to the samples of a session: the rules of docs/method.md, for every labeller."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from learntoask.core.records import EndReason, LabelledSession, Provenance, Session
from learntoask.labeling.labellers.protocol import Findings, LabelFailure, TurnLabel


@dataclass(frozen=True, slots=True)
class Labelling:
    """The labelled session, and what became of the turns without a sample."""

    labelled: LabelledSession
    empty: int  # `continue` with an empty micro-goal, dropped
    failures: tuple[tuple[int, LabelFailure], ...]  # (turn, why)
    decision_points: int
    stop_moved: bool  # the stop is elsewhere than the log's end marker


def make_samples(
    session: Session,
    findings: Findings,
    *,
    stop_at: Literal["acts", "asking_done"],
    require_marker: bool,
    provenance: Provenance,
) -> Labelling:
    """Samples of one session. Turns after the stop are no decision points; messages all stay."""
    stop, end = session.stop_turn, session.end
    if findings.stop_turn is not None and (end != EndReason.ABANDONED or not require_marker):
        stop = findings.stop_turn
        end = EndReason.COMPLETED if end == EndReason.ABANDONED else end
    if stop_at == "asking_done" and end != EndReason.ABANDONED:
        stop = _asking_done_turn(findings, before=stop)
    moved = stop != session.stop_turn
    turns = session.turns if stop is None else session.turns[: stop + 1]
    samples: list[dict[str, object]] = []
    failures: list[tuple[int, LabelFailure]] = []
    empty = 0
    for index, found in enumerate(findings.turns[: len(turns)]):
        if isinstance(found, LabelFailure):
            failures.append((index, found))
        elif index == stop:
            by = _attempts(provenance, found)
            samples.append({"turn": index, "decision": "stop", "remaining": (), "provenance": by})
        elif not found.remaining:
            empty += 1
        else:
            samples.append(
                {
                    "turn": index,
                    "decision": "continue",
                    "remaining": found.remaining,
                    "requested": found.requested,
                    "provenance": _attempts(provenance, found),
                }
            )
    if (turns, end, stop) != (session.turns, session.end, session.stop_turn):
        session = session.model_copy(update={"turns": turns, "end": end, "stop_turn": stop})
    return Labelling(
        labelled=LabelledSession.model_validate(
            {"session": session, "samples": samples, "answers": findings.answers}
        ),
        empty=empty,
        failures=tuple(failures),
        decision_points=len(turns),
        stop_moved=moved,
    )


def _attempts(provenance: Provenance, found: TurnLabel) -> Provenance:
    if found.attempts == provenance.attempts:
        return provenance
    return provenance.model_copy(update={"attempts": found.attempts})


def _asking_done_turn(findings: Findings, *, before: int | None) -> int | None:
    """The first turn with nothing left to ask, or the stop as it was.

    A turn is passed over where the labeller failed or saw a question it could not name: that an empty micro-goal means
    "asking is done" would be a guess there.
    """
    turns = findings.turns if before is None else findings.turns[:before]
    for index, found in enumerate(turns):
        if not isinstance(found, LabelFailure) and not found.remaining and not found.unnamed:
            return index
    return before
