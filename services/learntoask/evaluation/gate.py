"""The gate stage: check the policy under test against every threshold of the manifest.

A figure that was not measured, or does not have the bound that the threshold names, fails.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence

from learntoask.core.errors import GateFailed, InputError
from learntoask.core.manifest import Threshold
from learntoask.core.manifest.metric import GRADER_PREFIX, suggestion
from learntoask.core.records import Record
from learntoask.core.stages.contract import StageContext, StageSummary
from learntoask.evaluation.figures import Figure, figures
from learntoask.evaluation.report_schema import EvaluationReport, read_report

_BOUNDS = {
    "point": ("value", ""),
    "lower": ("lower", "the lower bound of "),
    "upper": ("upper", "the upper bound of "),
    "lowerOneSided": ("lower_one_sided", "the one-sided lower bound of "),
    "upperOneSided": ("upper_one_sided", "the one-sided upper bound of "),
}


class ThresholdCheck(Record):
    """The result of one threshold; `reason` is a sentence for a person."""

    metric: str
    bound: str
    min: float | None
    max: float | None
    value: float | None
    passed: bool
    reason: str


class GateVerdict(Record):
    """The content of verdict.json."""

    passed: bool
    policy: str
    checks: tuple[ThresholdCheck, ...]
    message: str


def run(context: StageContext) -> StageSummary:
    """Write verdict.json. Raises GateFailed with all reasons if a threshold does not hold."""
    report = read_report(context.inputs["evaluate"])
    verdict = check_thresholds(report, context.spec.gate.thresholds)
    with (context.out / "verdict.json").open("w", encoding="utf-8") as file:
        file.write(verdict.model_dump_json(indent=2) + "\n")
        file.flush()
        os.fsync(file.fileno())
    if not verdict.passed:
        raise GateFailed(verdict.message)
    return {
        "passed": True,
        "policy": verdict.policy,
        "checks": len(verdict.checks),
        "message": verdict.message,
    }


def check_thresholds(report: EvaluationReport, thresholds: Sequence[Threshold]) -> GateVerdict:
    """Check every threshold against the report. Raises InputError for a grader figure that the report lacks."""
    known = figures(report)
    checks = tuple(_check(threshold, known) for threshold in thresholds)
    failed = [check for check in checks if not check.passed]
    if not checks:
        message = f"no thresholds are set (spec.gate.thresholds), so policy {report.under_test} passes without a check"
    elif not failed:
        message = f"policy {report.under_test} holds all {len(checks)} thresholds"
    else:
        reasons = "; ".join(check.reason for check in failed)
        message = f"policy {report.under_test} fails {len(failed)} of {len(checks)} thresholds: {reasons}"
    return GateVerdict(passed=not failed, policy=report.under_test, checks=checks, message=message)


def _check(threshold: Threshold, known: Mapping[str, Figure]) -> ThresholdCheck:
    name = threshold.metric
    if name.startswith(GRADER_PREFIX) and name not in known:
        agreement = frozenset(figure for figure in known if figure.startswith(GRADER_PREFIX))
        listed = (
            suggestion(name, agreement, examples=sorted(agreement)) if agreement else "it reports no figures"
        )
        raise InputError(f"spec.gate.thresholds: the grader reports no {name!r}; {listed}")
    attribute, bound = _BOUNDS[threshold.bound]
    value = getattr(known[name], attribute) if name in known else None
    passed, finding = _holds(threshold, value)
    if name not in known:
        finding = "is not in this report"
    elif known[name].value is None:
        finding = "could not be measured because no held-out decision counts towards it"
    elif value is None:
        finding = "is not known"
    return ThresholdCheck(
        metric=name,
        bound=threshold.bound,
        min=threshold.min,
        max=threshold.max,
        value=value,
        passed=passed,
        reason=f"{bound}{name} {finding}",
    )


def _holds(threshold: Threshold, value: float | None) -> tuple[bool, str]:
    if value is None or math.isnan(value):
        return False, ""
    if threshold.min is not None and value < threshold.min:
        return False, f"is {value:.6g}, below the minimum {threshold.min:g}"
    if threshold.max is not None and value > threshold.max:
        return False, f"is {value:.6g}, above the maximum {threshold.max:g}"
    return True, f"is {value:.6g}"
