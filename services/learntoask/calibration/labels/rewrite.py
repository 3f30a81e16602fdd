"""The labelled session with corrected and without purged samples. The published one stays as it is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from learntoask.calibration.labels.evidence import Implied
from learntoask.calibration.labels.purge import Verdict
from learntoask.calibration.labels.sessions import LabelledLog
from learntoask.core.records import EndReason, Item, LabelledSession, Provenance, Sample, Session
from learntoask.labeling.logs.quarantine import Reason

BY_PEOPLE = Provenance(labeller="people")
BY_FINDINGS = Provenance(labeller="findings")


@dataclass(frozen=True)
class Purged:
    """A sample that left training."""

    turn: int
    reason: Reason
    message: str


@dataclass
class Rewritten:
    """A session after the purge, with what was done to it."""

    labelled: LabelledSession
    purged: list[Purged] = field(default_factory=list)
    corrected: int = 0
    added: int = 0


def rewrite(
    log: LabelledLog,
    verdicts: Iterable[Verdict],
    implied: Sequence[Implied],
    requested: Mapping[int, frozenset[str]],
) -> Rewritten:
    """Return the session with its verdicts carried out.

    `requested` are the fields that turns ask for where this is corrected too. If a stop is found wrong, the session
    goes on to where the log says that the expert acts; the turns in between get the labels that findings imply.
    """
    samples = dict(log.samples)
    done = Rewritten(log.labelled)
    for verdict in verdicts:
        _carry_out(verdict, samples, done)
    for turn, fields in requested.items():
        sample = samples.get(turn)
        if sample is not None and sample.decision == "continue" and fields:
            ordered = tuple(sorted(fields, key=lambda name: _place(sample, name)))
            samples[turn] = sample.model_copy(update={"requested": ordered})
    stop = min((turn for turn, sample in samples.items() if sample.decision == "stop"), default=None)
    before = log.labelled.session.stop_turn
    lost_stop = before in log.samples and log.samples[before].decision == "stop" and before != stop
    if (
        lost_stop
        and stop is None
        and before is not None
        and not any(one.turn == before for one in done.purged)
    ):
        stop = _restore(log, samples, implied, after=before, done=done)
    if stop is not None:
        samples = {turn: sample for turn, sample in samples.items() if turn <= stop}
    if samples == log.samples:
        return done
    session = _session(log, stop, changed=stop != before and (stop is not None or lost_stop))
    done.labelled = LabelledSession(
        session=session,
        samples=tuple(samples[turn] for turn in sorted(samples)),
        answers=log.labelled.answers,
    )
    return done


def _carry_out(verdict: Verdict, samples: dict[int, Sample], done: Rewritten) -> None:
    doubt = verdict.doubt
    if verdict.fate == "keep":
        return
    gone = samples.pop(doubt.turn, None)
    reason = Reason.REJECTED_BY_PEOPLE if verdict.by_people else Reason.DOUBTED_LABEL
    if verdict.fate == "correct" and verdict.decision is not None:
        items = _items(doubt.implied, verdict, gone)
        if verdict.decision == "stop" or items:
            samples[doubt.turn] = Sample(
                turn=doubt.turn,
                decision=verdict.decision,
                remaining=items if verdict.decision == "continue" else (),
                requested=gone.requested if gone is not None and verdict.decision == "continue" else (),
                provenance=BY_PEOPLE if verdict.by_people else BY_FINDINGS,
            )
            done.corrected += gone is not None
            done.added += gone is None
            return
    if gone is not None:
        done.purged.append(Purged(doubt.turn, reason, _message(verdict)))


def _items(implied: Implied, verdict: Verdict, before: Sample | None) -> tuple[Item, ...]:
    """Return the items of a corrected micro-goal, with the values that are known."""
    known = {item.field: item for item in (*(before.remaining if before else ()), *implied.items)}
    order = {item.field: place for place, item in enumerate(implied.items)}
    fields = sorted(verdict.fields, key=lambda name: (order.get(name, len(order)), name))
    return tuple(known.get(name, Item(field=name, value="")) for name in fields)


def _message(verdict: Verdict) -> str:
    doubt = verdict.doubt
    published = sorted(item.field for item in doubt.sample.remaining) if doubt.sample else []
    label = f"the label {doubt.sample.decision if doubt.sample else 'none'} {published}"
    if verdict.by_people:
        return f"{label} was rejected by a person"
    return f"{label} is doubted ({doubt.bin}), and people rejected most of such labels that they saw"


def _restore(
    log: LabelledLog, samples: dict[int, Sample], implied: Sequence[Implied], *, after: int, done: Rewritten
) -> int | None:
    """Give the turns after a wrong stop the labels that findings imply, and return the turn of the log's stop."""
    for turn in range(after + 1, len(log.log.turns)):
        label = implied[turn].label
        if label is not None and turn not in samples:
            samples[turn] = Sample(
                turn=turn, decision=label, remaining=implied[turn].items, provenance=BY_FINDINGS
            )
            done.added += 1
        if label == "stop":
            return turn
    return None


def _session(log: LabelledLog, stop: int | None, *, changed: bool) -> Session:
    if not changed:
        return log.labelled.session
    turns = log.log.turns if stop is None else log.log.turns[: stop + 1]
    end = log.log.end
    if stop is None:
        end = EndReason.ABANDONED
    elif end == EndReason.ABANDONED:
        end = EndReason.COMPLETED
    return log.labelled.session.model_copy(update={"turns": turns, "stop_turn": stop, "end": end})


def _place(sample: Sample, name: str) -> tuple[int, str]:
    names = sample.requested
    return (names.index(name) if name in names else len(names)), name
