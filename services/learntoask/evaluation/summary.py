"""Compute the figures of a report, with intervals, from graded decisions. Every function is pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from learntoask.core.errors import StageError
from learntoask.core.manifest.metric import GAP_METRICS
from learntoask.evaluation.decisions import DecisionRecord, GraderName, outcome
from learntoask.evaluation.report_schema import (
    DecodingReport,
    IdentityCheck,
    MissingGrades,
    Pair,
    TaskGroup,
)
from learntoask.evaluation.stats.metrics import (
    COLUMNS,
    IDENTITY_TOLERANCE,
    REPORT_METRICS,
    identity_error,
    sums_by_session,
)
from learntoask.grading.grades import REFUSED, UNLIKE_EXPERTS
from learntoask.statistics.bootstrap import Difference, Floats, contrasts, estimates


def session_order(decisions: Sequence[DecisionRecord]) -> list[str]:
    """Return the session ids of the decisions, sorted. All arrays of sums use this order, so policies are paired."""
    return sorted({decision.session for decision in decisions})


def decision_sums(decisions: Sequence[DecisionRecord], grader: GraderName = "reporting") -> Floats:
    """Return sums of shape (sessions, columns), with sessions in `session_order`."""
    return sums_by_session([outcome(decision, grader) for decision in decisions], session_order(decisions))


def decoding_report(decisions: Sequence[DecisionRecord], *, resamples: int, seed: int) -> DecodingReport:
    """Compute the figures of one policy under one decoding."""
    sums = decision_sums(decisions)
    return DecodingReport(
        completions=len(decisions),
        metrics=estimates(sums, REPORT_METRICS, resamples=resamples, seed=seed),
        groups=_groups(decisions, resamples=resamples, seed=seed),
        identity=_identity(sums),
        missing=_missing(decisions, sums),
        truncated=sum(not decision.finished for decision in decisions),
        rewarding=estimates(
            decision_sums(decisions, "rewarding"), REPORT_METRICS, resamples=resamples, seed=seed
        ),
        gap=_gap_metrics(
            contrasts([_both_graders(decisions)], (-1, 1), REPORT_METRICS, resamples=resamples, seed=seed)
        ),
    )


def paired_differences(
    before: Sequence[DecisionRecord], after: Sequence[DecisionRecord], *, resamples: int, seed: int
) -> Pair:
    """Compute paired differences of two policies that decided at the same points.

    Each policy's figures are means over those of its decisions that have a grade. Raises ValueError for other points.
    """
    if {decision.point for decision in before} != {decision.point for decision in after}:
        raise ValueError("paired policies must have decided at the same points")
    found = contrasts(
        [(decision_sums(before), decision_sums(after))],
        (-1, 1),
        REPORT_METRICS,
        resamples=resamples,
        seed=seed,
    )
    return Pair(before=before[0].policy, after=after[0].policy, decoding=before[0].decoding, metrics=found)


def gap_growth(
    before: Sequence[DecisionRecord], after: Sequence[DecisionRecord], *, resamples: int, seed: int
) -> dict[str, Difference]:
    """Compute how much the rewarding grader's lead over the reporting grader grew through training."""
    blocks = [*_both_graders(before), *_both_graders(after)]
    return _gap_metrics(contrasts([blocks], (1, -1, -1, 1), REPORT_METRICS, resamples=resamples, seed=seed))


def _groups(decisions: Sequence[DecisionRecord], *, resamples: int, seed: int) -> dict[str, TaskGroup]:
    parts = {
        "seen": [decision for decision in decisions if decision.seen],
        "unseen": [decision for decision in decisions if not decision.seen],
    }
    if not all(parts.values()):
        return {}
    return {
        name: TaskGroup(
            sessions=len(session_order(part)),
            metrics=estimates(decision_sums(part), REPORT_METRICS, resamples=resamples, seed=seed),
        )
        for name, part in parts.items()
    }


def _identity(sums: Floats) -> IdentityCheck:
    total = sums.sum(axis=0)
    error = identity_error(total)
    continues, stops = (float(total[COLUMNS.index(name)]) for name in ("continues", "stops"))
    share = continues / (continues + stops) if continues + stops else None
    if error is not None and error > IDENTITY_TOLERANCE:
        raise StageError(
            f"Total differs from the sum of its parts by {error:g}, so the metrics contradict each other; "
            "please report this as a fault of learntoask",
            reason="IdentityViolated",
        )
    return IdentityCheck(continue_share=share, error=error, holds=None if error is None else True)


def _missing(decisions: Sequence[DecisionRecord], sums: Floats) -> MissingGrades:
    reasons = Counter(
        reason for decision in decisions if (reason := decision.missing("reporting")) is not None
    )
    count = round(float(sums[:, COLUMNS.index("missing")].sum()))
    zero = Counter(
        decision.reporting.reason
        for decision in decisions
        if decision.decision == "continue"
        and decision.reporting.reason in (REFUSED.reason, UNLIKE_EXPERTS.reason)
    )
    return MissingGrades(
        count=count,
        share=count / len(decisions) if decisions else 0.0,
        reasons=dict(sorted(reasons.items())),
        zero=dict(sorted((str(reason), found) for reason, found in zero.items())),
    )


def _both_graders(decisions: Sequence[DecisionRecord]) -> tuple[Floats, Floats]:
    """Return (reporting, rewarding) sums over the decisions that both graders graded, for all sessions."""
    order = session_order(decisions)
    shared = [
        decision
        for decision in decisions
        if decision.missing("reporting") is None and decision.missing("rewarding") is None
    ]
    reporting, rewarding = (
        sums_by_session([outcome(decision, grader) for decision in shared], order)
        for grader in ("reporting", "rewarding")
    )
    return reporting, rewarding


def _gap_metrics(found: dict[str, Difference]) -> dict[str, Difference]:
    return {name: found[name] for name in GAP_METRICS}
