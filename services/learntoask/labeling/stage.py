"""Stage `label`: every decision point gets its micro-goal and macro-goal, or a line in quarantine.jsonl."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from pydantic import JsonValue

from learntoask.core.errors import StageError
from learntoask.core.manifest import Budget, Label
from learntoask.core.pack import Pack
from learntoask.core.records import Session
from learntoask.core.stages.contract import Shard, StageContext, StageSummary
from learntoask.labeling.counts import COUNTS_FILE, LabelCounts
from learntoask.labeling.labellers.annotated import AnnotatedLabeller
from learntoask.labeling.labellers.lexicon import LexiconLabeller
from learntoask.labeling.labellers.protocol import Findings, SequentialLabeller, StageLabeller
from learntoask.labeling.logs.lines import JsonLinesWriter
from learntoask.labeling.logs.quarantine import Quarantine
from learntoask.labeling.samples import make_samples


def run(context: StageContext) -> StageSummary:
    """Publishes labelled.jsonl and quarantine.jsonl, and llm.json where a model labelled. Of a share the counts are
    kept instead of judged: only those of all shares together say whether the labels can be learned from.

    Raises StageError when too many labels failed, or a model cannot be asked any more.
    """
    label = context.spec.label
    labeller = _labeller(label, context.pack, context.work, share=context.shard)
    tally = LabelCounts()
    with (
        JsonLinesWriter(context.out / "labelled.jsonl") as labelled,
        JsonLinesWriter(context.out / "quarantine.jsonl") as bad_samples,
    ):
        quarantine = Quarantine(bad_samples)
        for session, findings in _label_sessions(context, labeller):
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
    counts = labeller.counts()
    if context.shard is not None:
        tally.write(context.out / COUNTS_FILE, quarantine.counts, counts)
        return {}
    return finish(context, tally, quarantine.counts, counts)


def finish(
    context: StageContext, tally: LabelCounts, reasons: Counter[str], counts: dict[str, JsonValue]
) -> StageSummary:
    """The stage's summary, once all its sessions are labelled; `reasons` counts what was set aside, `counts` what a
    model took. Raises StageError where the labels cannot be learned from."""
    label = context.spec.label
    _check(tally, reasons, label)
    summary = _summary(tally, reasons, label)
    if counts:
        summary["llm"] = counts
        (context.out / "llm.json").write_text(json.dumps(counts, indent=1) + "\n", encoding="utf-8")
    return summary


def _labeller(label: Label, pack: Pack, work: Path, *, share: Shard | None) -> StageLabeller:
    if label.llm is None or label.method != "llm":
        return SequentialLabeller(
            AnnotatedLabeller(pack) if label.method == "annotated" else LexiconLabeller(pack)
        )
    # Its client takes longer to load than a small log to label.
    from learntoask.labeling.llm.labeller import LlmLabeller  # noqa: PLC0415

    llm = label.llm
    if share is not None:
        llm = llm.model_copy(update={"budget": divide_budget(llm.budget, share.count)})
    return LlmLabeller(pack, llm, work=work)


def divide_budget(budget: Budget, count: int) -> Budget:
    """What each of `count` pods may spend, so that together they keep the budget (but one request each)."""
    return Budget(
        requests=budget.requests and max(1, budget.requests // count),
        tokens=budget.tokens and max(1, budget.tokens // count),
        cost=budget.cost and budget.cost / count,
    )


def _label_sessions(context: StageContext, labeller: StageLabeller) -> Iterator[tuple[Session, Findings]]:
    path, shard = context.inputs["prepare"] / "sessions.jsonl", context.shard
    with path.open("rb") as file:
        total = sum(1 for _ in file) // (shard.count if shard else 1)
    with path.open("rb") as file:
        read = (Session.model_validate_json(line) for line in file)
        sessions = (one for one in read if shard is None or shard.holds(one.session_id))
        for done, found in enumerate(labeller.label_all(sessions), 1):
            context.progress.update(min(done, total), total, "labelling", **labeller.progress())
            yield found
    context.progress.update(total, total, "labelling")


def _check(tally: LabelCounts, quarantined: Counter[str], label: Label) -> None:
    if tally.failed_share > label.max_failed_share:
        reasons = ", ".join(f"{count} {reason}" for reason, count in quarantined.most_common(3))
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


def _summary(tally: LabelCounts, quarantined: Counter[str], label: Label) -> StageSummary:
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
        "failed_by_reason": dict(quarantined.most_common()),
        "stops_moved": tally.stops_moved,
        "questions": tally.questions,
        "unnamed_questions": tally.unnamed_questions,
        "requested_fields": dict(tally.requested.most_common(40)),
    }
