"""Compare two runs from their decisions, with the significance of every difference."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path

from pydantic import JsonValue
from rich.table import Table

from learntoask.core.manifest.metric import METRICS
from learntoask.core.records import Record
from learntoask.evaluation.decisions import (
    DecisionRecord,
    Decoding,
    in_sessions,
    read_decisions,
    truths_of,
)
from learntoask.evaluation.report_schema import EvaluationReport, read_report
from learntoask.evaluation.stats.metrics import REPORT_METRICS, metric_values
from learntoask.evaluation.summary import decision_sums
from learntoask.statistics.bootstrap import Difference, contrasts

_RESAMPLES = 2000
_SEED = 0
_SHOWN_METRICS = (
    "WA-GH",
    "WA-GH-given-asked",
    "ask-rate",
    "WS-continue",
    "WS-stop",
    "TA",
    "Format",
    "Total",
)


class MetricComparison(Record):
    """One metric of one policy in both runs; `difference` is b − a."""

    policy: str
    decoding: Decoding
    metric: str
    a: float | None
    b: float | None
    difference: Difference


class Comparison(Record):
    """The comparison of runs a and b.

    The `shared` sessions have the same decision points and labels in both runs and are paired. Those of `only_a` and
    `only_b` are resampled independently, and so are the `changed` ones, which have the same id but other decision
    points or labels. `settings` maps the path of every setting that differs to its two values (a, b). `answers` are the
    digests of the answers by which people corrected labels and graders, None in a run that asked nobody. `published`
    says which policy each run published and why.
    """

    a: str
    b: str
    shared: int
    only_a: int
    only_b: int
    changed: int
    settings: dict[str, tuple[JsonValue, JsonValue]]
    same_grader: bool
    answers: tuple[str | None, str | None] = (None, None)
    published: tuple[str | None, str | None] = (None, None)
    rows: tuple[MetricComparison, ...]


def compare(a: Path, b: Path) -> Comparison:
    """Compare the evaluations in two folders with report.json and decisions.jsonl.

    Policies of the same name are compared. If the runs have no policy name in common, the two policies under test are
    compared. Raises InputError.
    """
    first, second = read_report(a), read_report(b)
    names = {policy.name for policy in second.policies}
    same = [(policy.name, policy.name) for policy in first.policies if policy.name in names]
    return _compare(a, b, first, second, policies=same or [(first.under_test, second.under_test)])


def compare_policies_under_test(a: Path, b: Path) -> Comparison:
    """Compare only the policy under test of each evaluation, even if their names differ. Raises InputError."""
    first, second = read_report(a), read_report(b)
    return _compare(a, b, first, second, policies=[(first.under_test, second.under_test)])


def _compare(
    a: Path,
    b: Path,
    first: EvaluationReport,
    second: EvaluationReport,
    *,
    policies: Sequence[tuple[str, str]],
) -> Comparison:
    decisions_a, decisions_b = read_decisions(a), read_decisions(b)
    pairing = _Pairing(decisions_a, decisions_b)
    rows = [
        row
        for name_a, name_b in policies
        for decoding in ("greedy", "sampled")
        for row in _metric_comparisons(
            _of_policy(decisions_a, name_a, decoding),
            _of_policy(decisions_b, name_b, decoding),
            pairing,
            policy=name_a if name_a == name_b else f"{name_a} / {name_b}",
        )
    ]
    return Comparison(
        a=str(a),
        b=str(b),
        shared=len(pairing.shared),
        only_a=len(pairing.only_a - pairing.changed),
        only_b=len(pairing.only_b - pairing.changed),
        changed=len(pairing.changed),
        settings=_changes(_settings(first), _settings(second)),
        same_grader=first.grader.reporting == second.grader.reporting,
        answers=(_answers(first), _answers(second)),
        published=(_published(first), _published(second)),
        rows=tuple(rows),
    )


def comparison_table(comparison: Comparison, *, decoding: Decoding = "greedy") -> Table:
    """Return a terminal table of the most important metrics; a star marks significant differences."""
    table = Table(title=f"A  {comparison.a}\nB  {comparison.b}", title_justify="left", title_style="dim")
    table.add_column("policy")
    table.add_column("metric")
    for name in ("A", "B", "B − A", "95 % interval", "p"):
        table.add_column(name, justify="right")
    policy = ""
    for row in comparison.rows:
        if row.decoding != decoding or row.metric not in _SHOWN_METRICS:
            continue
        if policy and row.policy != policy:
            table.add_section()
        difference = row.difference
        style = "[bold]" if difference.significant else ""
        star = " *" if difference.significant else ""
        table.add_row(
            row.policy if row.policy != policy else "",
            row.metric,
            _format(row.a),
            _format(row.b),
            f"{style}{_format(difference.value, sign=True)}{star}",
            "–"
            if difference.low is None
            else f"{_format(difference.low, sign=True)} … {_format(difference.high, sign=True)}",
            "–" if difference.p_value is None else f"{difference.p_value:.3f}",
        )
        policy = row.policy
    return table


def _settings(report: EvaluationReport) -> dict[str, JsonValue]:
    """Return what the figures follow from: settings, pack, graders, and the amount of data."""
    data = report.data
    return {
        **report.settings,
        "data": {
            "trainingSessions": data.training_sessions,
            "heldOutSessions": data.available,
            "labelled by": ", ".join(sorted(data.labellers)),
        },
        "graders": {
            "reporting": report.grader.reporting[:16],
            "rewarding": report.grader.rewarding[:16],
        },
    }


def _published(report: EvaluationReport) -> str | None:
    return report.choice.reason if report.choice else None


def _answers(report: EvaluationReport) -> str | None:
    digests = (report.calibration or {}).get("digests")
    return str(digests["answers"]) if isinstance(digests, dict) else None


class _Pairing:
    """Session ids by whether both runs have the session with the same decision points and labels (`shared`).

    `changed` sessions are also in `only_a` and `only_b`.
    """

    def __init__(self, a: Sequence[DecisionRecord], b: Sequence[DecisionRecord]) -> None:
        truths_a, truths_b = truths_of(a), truths_of(b)
        both = set(truths_a) & set(truths_b)
        self.shared = {session for session in both if truths_a[session] == truths_b[session]}
        self.changed = both - self.shared
        self.only_a = set(truths_a) - self.shared
        self.only_b = set(truths_b) - self.shared


def _metric_comparisons(
    a: Sequence[DecisionRecord], b: Sequence[DecisionRecord], pairing: _Pairing, *, policy: str
) -> list[MetricComparison]:
    if not a or not b:
        return []
    nothing = decision_sums([])
    shared_a, shared_b = in_sessions(a, pairing.shared), in_sessions(b, pairing.shared)
    strata = [
        (decision_sums(shared_a), decision_sums(shared_b)),
        (decision_sums(in_sessions(a, pairing.only_a)), nothing),
        (nothing, decision_sums(in_sessions(b, pairing.only_b))),
    ]
    differences = contrasts(strata, (-1, 1), REPORT_METRICS, resamples=_RESAMPLES, seed=_SEED)
    values_a, values_b = (metric_values(decision_sums(run).sum(axis=0)) for run in (a, b))
    return [
        MetricComparison(
            policy=policy,
            decoding=a[0].decoding,
            metric=name,
            a=_none_if_nan(float(values_a[name])),
            b=_none_if_nan(float(values_b[name])),
            difference=differences[name],
        )
        for name in METRICS
    ]


def _of_policy(decisions: Sequence[DecisionRecord], policy: str, decoding: str) -> list[DecisionRecord]:
    return [decision for decision in decisions if (decision.policy, decision.decoding) == (policy, decoding)]


def _changes(a: JsonValue, b: JsonValue, path: str = "") -> dict[str, tuple[JsonValue, JsonValue]]:
    if isinstance(a, dict) and isinstance(b, dict):
        changes: dict[str, tuple[JsonValue, JsonValue]] = {}
        for name in sorted(a.keys() | b.keys()):
            changes |= _changes(a.get(name), b.get(name), f"{path}.{name}".lstrip("."))
        return changes
    return {} if json.dumps(a) == json.dumps(b) else {path: (a, b)}


def _none_if_nan(value: float) -> float | None:
    return None if math.isnan(value) else value


def _format(value: float | None, *, sign: bool = False) -> str:
    if value is None:
        return "–"
    return f"{value:+.3f}" if sign else f"{value:.3f}"
