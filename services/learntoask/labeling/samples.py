"""From a labeller's findings to the samples of a session, by the rules of docs/method.md.

The rules are the same for every labeller; the stage label and `lta data check` call `make_samples`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from learntoask.core.records import EndReason, LabelledSession, Provenance, Session
from learntoask.labeling.labellers.protocol import Findings, LabelFailure, TurnLabel


@dataclass(frozen=True, slots=True)
class Labelling:
    """The labelled session, and the counts of its turns without a sample."""

    labelled: LabelledSession
    empty: int  # `continue` with an empty micro-goal, dropped
    failures: tuple[tuple[int, LabelFailure], ...]  # (turn, reason)
    decision_points: int
    stop_moved: bool  # the stop is not where the log has its end marker


def make_samples(
    session: Session,
    findings: Findings,
    *,
    stop_at: Literal["acts", "asking_done"],
    require_marker: bool,
    provenance: Provenance,
) -> Labelling:
    """Make the samples of one session.

    Turns after the stop are no decision points; their messages stay in the session. With `require_marker`, a labeller
    cannot place a stop in a session that the log shows as abandoned. `stop_at` is the pack's rule.
    """
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
    for index, label in enumerate(findings.turns[: len(turns)]):
        if isinstance(label, LabelFailure):
            failures.append((index, label))
        elif index == stop:
            source = _with_attempts(provenance, label)
            samples.append({"turn": index, "decision": "stop", "remaining": (), "provenance": source})
        elif not label.remaining:
            empty += 1
        else:
            samples.append(
                {
                    "turn": index,
                    "decision": "continue",
                    "remaining": label.remaining,
                    "requested": label.requested,
                    "provenance": _with_attempts(provenance, label),
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


def _with_attempts(provenance: Provenance, label: TurnLabel) -> Provenance:
    if label.attempts == provenance.attempts:
        return provenance
    return provenance.model_copy(update={"attempts": label.attempts})


def _asking_done_turn(findings: Findings, *, before: int | None) -> int | None:
    """Return the first turn whose micro-goal is empty, or else the stop `before`.

    Turns that the labeller could not label, or that hold a question whose field it does not know, are skipped: an empty
    micro-goal does not show there that the expert has finished asking.
    """
    turns = findings.turns if before is None else findings.turns[:before]
    for index, label in enumerate(turns):
        if not isinstance(label, LabelFailure) and not label.remaining and not label.unnamed:
            return index
    return before
