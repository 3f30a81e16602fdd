"""Stage `label`: every decision point gets its micro-goal and macro-goal, or a line in quarantine.jsonl."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from learntoask.core.errors import StageError
from learntoask.core.manifest import Label
from learntoask.core.pack import Pack
from learntoask.core.records import Session
from learntoask.core.stage import StageContext, StageSummary
from learntoask.labeling.annotated import Annotated
from learntoask.labeling.labeller import Findings, OneByOne, StageLabeller
from learntoask.labeling.lexicon import Lexicon
from learntoask.labeling.lines import JsonLinesWriter
from learntoask.labeling.quarantine import Quarantine
from learntoask.labeling.samples import Labelling, make_samples


@dataclass
class Tally:
    """Counts of the stage."""

    sessions: int = 0
    without_samples: int = 0
    decision_points: int = 0
    empty: int = 0
    failed: int = 0
    stops_moved: int = 0
    questions: int = 0
    unnamed_questions: int = 0
    decisions: Counter[str] = field(default_factory=Counter)
    splits: Counter[str] = field(default_factory=Counter)
    requested: Counter[str] = field(default_factory=Counter)

    def add(self, labelling: Labelling, findings: Findings) -> None:
        labelled = labelling.labelled
        self.sessions += 1
        self.without_samples += not labelled.samples
        self.decision_points += labelling.decision_points
        self.empty += labelling.empty
        self.failed += len(labelling.failures)
        self.stops_moved += labelling.stop_moved
        self.questions += findings.questions
        self.unnamed_questions += findings.unnamed_questions
        for sample in labelled.samples:
            self.decisions[sample.decision] += 1
            self.splits[labelled.session.split] += 1
            self.requested.update(sample.requested)

    @property
    def failed_share(self) -> float:
        return self.failed / self.decision_points if self.decision_points else 0.0


def run(context: StageContext) -> StageSummary:
    """Publishes labelled.jsonl and quarantine.jsonl, and llm.json where a model labelled. Raises StageError when too
    many labels failed, or a model cannot be asked any more."""
    label = context.spec.label
    labeller = _labeller(label, context.pack, context.work)
    tally = Tally()
    with (
        JsonLinesWriter(context.out / "labelled.jsonl") as labelled,
        JsonLinesWriter(context.out / "quarantine.jsonl") as bad_samples,
    ):
        quarantine = Quarantine(bad_samples)
        for session, findings in _found(context, labeller):
            labelling = make_samples(
                session,
                findings,
                stop_at=context.pack.stop_at,
                require_marker=context.pack.require_end_marker,
                provenance=labeller.provenance,
            )
            labelled.write(labelling.labelled.__pydantic_serializer__.to_json(labelling.labelled))
            for turn, failure in labelling.failures:
                quarantine.sample(
                    session_id=session.session_id,
                    turn=turn,
                    message_index=session.turns[turn].start,
                    reason=failure.reason,
                    message=failure.message,
                    labeller=labeller.provenance.labeller,
                )
            tally.add(labelling, findings)
    _check(tally, quarantine, label)
    summary = _summary(tally, quarantine, label)
    counts = labeller.counts()
    if counts:
        summary["llm"] = counts
        (context.out / "llm.json").write_text(json.dumps(counts, indent=1) + "\n", encoding="utf-8")
    return summary


def _labeller(label: Label, pack: Pack, work: Path) -> StageLabeller:
    if label.llm is None or label.method != "llm":
        return OneByOne(Annotated(pack) if label.method == "annotated" else Lexicon(pack))
    # Its client takes longer to load than a small log to label.
    from learntoask.labeling.llm import LlmLabeller  # noqa: PLC0415

    return LlmLabeller(pack, label.llm, work=work)


def _found(context: StageContext, labeller: StageLabeller) -> Iterator[tuple[Session, Findings]]:
    path = context.inputs["prepare"] / "sessions.jsonl"
    with path.open("rb") as file:
        total = sum(1 for _ in file)
    with path.open("rb") as file:
        sessions = (Session.model_validate_json(line) for line in file)
        for done, found in enumerate(labeller.label_all(sessions), 1):
            context.progress.update(done, total, "labelling", **labeller.progress())
            yield found
    context.progress.update(total, total, "labelling")


def _check(tally: Tally, quarantine: Quarantine, label: Label) -> None:
    if tally.failed_share > label.max_failed_share:
        reasons = ", ".join(f"{count} {reason}" for reason, count in quarantine.counts.most_common(3))
        raise StageError(
            f"{tally.failed} of {tally.decision_points} decision points could not be labelled ({reasons}), more than "
            f"label.maxFailedShare = {label.max_failed_share:g} allows; mend the logs or the pack",
            reason="TooManyFailedLabels",
        )
    if not tally.decisions:
        raise StageError(
            f"labeller {label.method!r} found no sample in {tally.sessions} sessions; do the fields of the pack and "
            "their patterns fit these logs?",
            reason="NoSamples",
        )
    if not tally.decisions["stop"] and label.require_stops:
        raise StageError(
            f"none of the {tally.sessions} sessions holds a stop, so nothing can teach the policy to stop; check "
            "endMarkers, actionPatterns and requireEndMarker of the pack, or set label.requireStops: false",
            reason="NoStops",
        )


def _summary(tally: Tally, quarantine: Quarantine, label: Label) -> StageSummary:
    return {
        "labeller": label.method,
        "sessions": tally.sessions,
        "sessions_without_samples": tally.without_samples,
        "decision_points": tally.decision_points,
        "samples": dict(tally.decisions),
        "samples_by_split": dict(tally.splits),
        "dropped_empty_micro_goal": tally.empty,
        "failed": tally.failed,
        "failed_share": round(tally.failed_share, 4),
        "failed_by_reason": dict(quarantine.counts.most_common()),
        "stops_moved": tally.stops_moved,
        "questions": tally.questions,
        "unnamed_questions": tally.unnamed_questions,
        "requested_fields": dict(tally.requested.most_common(40)),
    }
