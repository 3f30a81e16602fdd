"""Name every figure of a report, so that a gate can compare it with a threshold. core.manifest.metric has the names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from pydantic import JsonValue

from learntoask.core.manifest.metric import ASSESSMENT, CALIBRATION_PREFIX, CORRECTED, GRADER_PREFIX, REPEATS
from learntoask.evaluation.report_schema import EvaluationReport, PolicyReport
from learntoask.statistics.bootstrap import Difference, Estimate

_DECODING_PREFIXES = {"greedy": "", "sampled": "sampled."}


@dataclass(frozen=True, kw_only=True)
class Figure:
    """A value with its known bounds."""

    value: float | None
    lower: float | None = None
    upper: float | None = None
    lower_one_sided: float | None = None
    upper_one_sided: float | None = None


def figures(report: EvaluationReport) -> dict[str, Figure]:
    """Map names to figures. A name without a policy belongs to the policy under test."""
    named: dict[str, Figure] = {}
    for policy in report.policies:
        own = dict(_of_policy(policy))
        named |= {f"{policy.name}.{name}": figure for name, figure in own.items()}
        if policy.name == report.under_test:
            named |= own
            named |= {f"gap.{name}": _difference(gap) for name, gap in policy.decodings["greedy"].gap.items()}
    named |= {f"gap-growth.{name}": _difference(growth) for name, growth in report.gap_growth.items()}
    for pair in report.pairs:
        if pair.decoding == "greedy":
            scope = f"{pair.after}-{pair.before}"
            named |= {f"{scope}.{name}": _difference(found) for name, found in pair.metrics.items()}
    named |= _of_calibration(report.calibration or {})
    return named | {GRADER_PREFIX + name: figure for name, figure in _numbers(report.grader.agreement)}


def _of_policy(policy: PolicyReport) -> Iterator[tuple[str, Figure]]:
    for decoding, found in policy.decodings.items():
        prefix = _DECODING_PREFIXES[decoding]
        for name, estimate in found.metrics.items():
            yield prefix + name, _estimate(estimate)
        for group, part in found.groups.items():
            for name, estimate in part.metrics.items():
                yield f"{prefix}{group}.{name}", _estimate(estimate)
    for name, estimate in policy.corrected.items():
        yield f"{CORRECTED}.{name}", _estimate(estimate)
    for name, estimate in policy.repeats.items():
        yield f"{REPEATS}.{name}", _estimate(estimate)
    for name, estimate in policy.assessment.items():
        yield f"{ASSESSMENT}.{name}", _estimate(estimate)
    if policy.replay:
        for name, estimate in policy.replay.metrics.items():
            yield f"replay.{name}", _estimate(estimate)


def _of_calibration(record: Mapping[str, JsonValue]) -> dict[str, Figure]:
    """Return the figures of calibration.json that a gate may name."""
    if not record:
        return {}
    grader = _at(record, "agreement", "after", "asks_for", "reporting")
    low, high, bound = (_number(grader.get(name)) for name in ("low", "high", "bound"))
    people = _at(record, "people", "between")
    return {
        f"{CALIBRATION_PREFIX}kappa": Figure(
            value=_number(grader.get("kappa")), lower=low, upper=high, lower_one_sided=bound
        ),
        f"{CALIBRATION_PREFIX}people.kappa": Figure(value=_number(people.get("kappa"))),
        f"{CALIBRATION_PREFIX}answers": Figure(value=_number(_at(record, "answers").get("given"))),
    }


def _at(record: Mapping[str, JsonValue], *path: str) -> Mapping[str, JsonValue]:
    """Return the object at `path`, empty if there is none."""
    for name in path:
        found = record.get(name)
        record = found if isinstance(found, dict) else {}
    return record


def _numbers(node: JsonValue, path: tuple[str, ...] = ()) -> Iterator[tuple[str, Figure]]:
    """Yield the numbers of nested JSON by dotted path; `{value, low, high}` is one figure, with or without bounds."""
    if not isinstance(node, dict):
        value = _number(node)
        if value is not None:
            yield ".".join(path), Figure(value=value)
        return
    bounds = ("value", "low", "high") if "value" in node else ()
    if bounds:
        value, low, high = (_number(node.get(name)) for name in bounds)
        yield ".".join(path), Figure(value=value, lower=low, upper=high)
    for name, child in node.items():
        if name not in bounds:
            yield from _numbers(child, (*path, name))


def _number(value: JsonValue) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _estimate(found: Estimate) -> Figure:
    return Figure(value=found.value, lower=found.low, upper=found.high)


def _difference(found: Difference) -> Figure:
    return Figure(
        value=found.value,
        lower=found.low,
        upper=found.high,
        lower_one_sided=found.one_sided_low,
        upper_one_sided=found.one_sided_high,
    )
