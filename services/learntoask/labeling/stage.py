"""Stage `label`: give every decision point its micro-goal and macro-goal, or record in quarantine.jsonl why not."""

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
    """Publish labelled.jsonl and quarantine.jsonl, and llm.json if a language model labelled.

    A shard only writes its counts: the quality check (`finish`) runs once, on the sum over all shards (see `merge`).

    Raises StageError when too many labels failed, or when no further request to the model is possible.
    """
    label = context.spec.label
    labeller = _labeller(label, context.pack, context.work, shard=context.shard)
    counts = LabelCounts()
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
            counts.add(labelling, findings)
    usage = labeller.usage()
    if context.shard is not None:
        counts.write(context.out / COUNTS_FILE, quarantine.counts, usage)
        return {}
    return finish(context, counts, quarantine.counts, usage)


def finish(
    context: StageContext, counts: LabelCounts, reasons: Counter[str], usage: dict[str, JsonValue]
) -> StageSummary:
    """Check the labels of all sessions and return the stage's summary.

    `reasons` counts quarantined decision points by reason; `usage` are the requests, tokens and costs of a language
    model. Raises StageError when nothing can be learned from the labels.
    """
    label = context.spec.label
    _check(counts, reasons, label)
    summary = _summary(counts, reasons, label)
    if usage:
        summary["llm"] = usage
        (context.out / "llm.json").write_text(json.dumps(usage, indent=1) + "\n", encoding="utf-8")
    return summary


def _labeller(label: Label, pack: Pack, work: Path, *, shard: Shard | None) -> StageLabeller:
    if label.llm is None or label.method != "llm":
        return SequentialLabeller(
            AnnotatedLabeller(pack, unknown_items=label.unknown_items)
            if label.method == "annotated"
            else LexiconLabeller(pack)
        )
    # Importing the LLM client takes longer than labelling a small log.
    from learntoask.labeling.llm.labeller import LlmLabeller  # noqa: PLC0415

    llm = label.llm
    if shard is not None:
        llm = llm.model_copy(update={"budget": divide_budget(llm.budget, shard.count)})
    return LlmLabeller(pack, llm, work=work)


def divide_budget(budget: Budget, count: int) -> Budget:
    """The budget of each of `count` pods. Their sum is at most `budget`, except that each pod may send one request."""
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
        everything = (Session.model_validate_json(line) for line in file)
        sessions = (session for session in everything if shard is None or shard.holds(session.session_id))
        for done, labelled in enumerate(labeller.label_all(sessions), 1):
            context.progress.update(min(done, total), total, "labelling", **labeller.progress())
            yield labelled
    context.progress.update(total, total, "labelling")


def _check(counts: LabelCounts, quarantined: Counter[str], label: Label) -> None:
    if counts.failed_share > label.max_failed_share:
        reasons = ", ".join(f"{count} {reason}" for reason, count in quarantined.most_common(3))
        raise StageError(
            f"{counts.failed} of {counts.decision_points} decision points could not be labelled ({reasons}), more than "
            f"label.maxFailedShare = {label.max_failed_share:g} allows; correct the logs or the pack",
            reason="TooManyFailedLabels",
        )
    if not counts.decisions:
        raise StageError(
            f"labeller {label.method!r} found no sample in {counts.sessions} sessions; check that the fields of "
            "the pack and their patterns fit these logs",
            reason="NoSamples",
        )
    if not counts.decisions["stop"] and label.require_stops:
        raise StageError(
            f"none of the {counts.sessions} sessions holds a stop, so the policy cannot learn to stop; check "
            "endMarkers, actionPatterns and requireEndMarker of the pack, or set label.requireStops: false",
            reason="NoStops",
        )
    if not counts.splits["test"]:
        raise StageError(
            f"none of the {counts.decisions.total()} labelled decision points is in the test split, so no policy could "
            "be evaluated; raise spec.dataset.testShare or give held-out logs in spec.dataset.testUri",
            reason="NothingToEvaluate",
        )


def _summary(counts: LabelCounts, quarantined: Counter[str], label: Label) -> StageSummary:
    return {
        "labeller": label.method,
        "sessions": counts.sessions,
        "sessions_without_samples": counts.without_samples,
        "decision_points": counts.decision_points,
        "samples": dict(counts.decisions),
        "samples_by_split": dict(counts.splits),
        "dropped_empty_micro_goal": counts.empty,
        "failed": counts.failed,
        "failed_share": round(counts.failed_share, 4),
        "failed_by_reason": dict(quarantined.most_common()),
        "stops_moved": counts.stops_moved,
        "questions": counts.questions,
        "unnamed_questions": counts.unnamed_questions,
        "unknown_items": sum(counts.unknown_items.values()),
        "commonest_unknown_items": dict(counts.unknown_items.most_common(10)),
        "requested_fields": dict(counts.requested.most_common(40)),
    }
