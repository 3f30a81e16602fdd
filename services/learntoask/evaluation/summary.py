"""From graded decisions to the figures of a report. Pure: rows in, numbers with intervals out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from learntoask.core.errors import StageError
from learntoask.core.manifest.metric import GAP_METRICS
from learntoask.evaluation.decisions import DecisionRow, GraderName, outcome
from learntoask.evaluation.report_schema import (
    DecodingReport,
    Group,
    Identity,
    Missing,
    Pair,
    StopBin,
    StopProbability,
)
from learntoask.evaluation.stats.bootstrap import Difference, contrasts, estimates, mean_estimates
from learntoask.evaluation.stats.metrics import (
    COLUMNS,
    IDENTITY_TOLERANCE,
    Floats,
    identity_error,
    sums_by_session,
)

_STOP_BINS = 10


def session_order(rows: Sequence[DecisionRow]) -> list[str]:
    """The sessions of the rows, sorted: the order of every array of sums, so that policies are paired."""
    return sorted({row.session for row in rows})


def row_sums(rows: Sequence[DecisionRow], grader: GraderName = "reporting") -> Floats:
    """Sums (sessions, columns), sessions in `session_order`."""
    return sums_by_session([outcome(row, grader) for row in rows], session_order(rows))


def decoding_report(rows: Sequence[DecisionRow], *, resamples: int, seed: int) -> DecodingReport:
    """The figures of one policy under one decoding."""
    sums = row_sums(rows)
    return DecodingReport(
        completions=len(rows),
        metrics=estimates(sums, resamples=resamples, seed=seed),
        groups=_groups(rows, resamples=resamples, seed=seed),
        identity=_identity(sums),
        missing=_missing(rows, sums),
        truncated=sum(not row.finished for row in rows),
        rewarding=estimates(row_sums(rows, "rewarding"), resamples=resamples, seed=seed),
        gap=_gap_metrics(contrasts([_both_graders(rows)], (-1, 1), resamples=resamples, seed=seed)),
    )


def pair(before: Sequence[DecisionRow], after: Sequence[DecisionRow], *, resamples: int, seed: int) -> Pair:
    """Paired differences of two policies that decided at the same points, each over what it could be graded on."""
    if {row.point for row in before} != {row.point for row in after}:
        raise ValueError("paired policies must have decided at the same points")
    found = contrasts([(row_sums(before), row_sums(after))], (-1, 1), resamples=resamples, seed=seed)
    return Pair(before=before[0].policy, after=after[0].policy, decoding=before[0].decoding, metrics=found)


def gap_growth(
    before: Sequence[DecisionRow], after: Sequence[DecisionRow], *, resamples: int, seed: int
) -> dict[str, Difference]:
    """How much further the rewarding grader is above the reporting one after training than before it."""
    blocks = [*_both_graders(before), *_both_graders(after)]
    return _gap_metrics(contrasts([blocks], (1, -1, -1, 1), resamples=resamples, seed=seed))


def stop_probability(rows: Sequence[DecisionRow], *, resamples: int, seed: int) -> StopProbability | None:
    """Mean stop probability per class and its calibration; None where it was not measured."""
    known = [(row, float(np.exp(row.stop_logprob))) for row in rows if row.stop_logprob is not None]
    if not known:
        return None
    place = {session: index for index, session in enumerate(session_order(rows))}
    by_class = {truth: (np.zeros(len(place)), np.zeros(len(place))) for truth in ("continue", "stop")}
    for row, probability in known:
        above, below = by_class[row.truth]
        above[place[row.session]] += probability
        below[place[row.session]] += 1
    means = mean_estimates(dict(by_class), resamples=resamples, seed=seed)
    return StopProbability(
        mean_at_continue=means["continue"],
        mean_at_stop=means["stop"],
        bins=_bins([(probability, row.truth == "stop") for row, probability in known]),
    )


def _groups(rows: Sequence[DecisionRow], *, resamples: int, seed: int) -> dict[str, Group]:
    parts = {"seen": [row for row in rows if row.seen], "unseen": [row for row in rows if not row.seen]}
    if not all(parts.values()):
        return {}
    return {
        name: Group(
            sessions=len(session_order(part)),
            metrics=estimates(row_sums(part), resamples=resamples, seed=seed),
        )
        for name, part in parts.items()
    }


def _identity(sums: Floats) -> Identity:
    total = sums.sum(axis=0)
    error = identity_error(total)
    continues, stops = (float(total[COLUMNS.index(name)]) for name in ("continues", "stops"))
    share = continues / (continues + stops) if continues + stops else None
    if error is not None and error > IDENTITY_TOLERANCE:
        raise StageError(
            f"the identity of Total and its parts is off by {error:g}: the metrics contradict each other, "
            "please report this as a fault of learntoask",
            reason="IdentityViolated",
        )
    return Identity(continue_share=share, error=error, holds=None if error is None else True)


def _missing(rows: Sequence[DecisionRow], sums: Floats) -> Missing:
    reasons = Counter(reason for row in rows if (reason := row.missing("reporting")) is not None)
    count = round(float(sums[:, COLUMNS.index("missing")].sum()))
    return Missing(
        count=count, share=count / len(rows) if rows else 0.0, reasons=dict(sorted(reasons.items()))
    )


def _both_graders(rows: Sequence[DecisionRow]) -> tuple[Floats, Floats]:
    """(reporting, rewarding) sums over the completions that both graders graded, on all sessions of the rows."""
    order = session_order(rows)
    shared = [row for row in rows if row.missing("reporting") is None and row.missing("rewarding") is None]
    reporting, rewarding = (
        sums_by_session([outcome(row, grader) for row in shared], order)
        for grader in ("reporting", "rewarding")
    )
    return reporting, rewarding


def _gap_metrics(found: dict[str, Difference]) -> dict[str, Difference]:
    return {name: found[name] for name in GAP_METRICS}


def _bins(pairs: Sequence[tuple[float, bool]]) -> list[StopBin]:
    bins = []
    for index in range(_STOP_BINS):
        low, high = index / _STOP_BINS, (index + 1) / _STOP_BINS
        inside = [
            (probability, stops)
            for probability, stops in pairs
            if min(int(probability * _STOP_BINS), _STOP_BINS - 1) == index
        ]
        if inside:
            bins.append(
                StopBin(
                    low=low,
                    high=high,
                    n=len(inside),
                    mean=sum(probability for probability, _ in inside) / len(inside),
                    stop_share=sum(stops for _, stops in inside) / len(inside),
                )
            )
    return bins
