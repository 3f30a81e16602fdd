"""Render the page of a sweep: one file without scripts or external references, in the style of a run's report."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from learntoask.evaluation.report import plots
from learntoask.evaluation.report.html import AXIS_MAX, MEANING, TITLES, load_template, stylesheet
from learntoask.evaluation.stats.metrics import HEADLINE
from learntoask.evaluation.sweep.report import CurveReport, SweepReport

_POLICIES = ("base", "sft", "grpo")


def sweep_page(report: SweepReport) -> str:
    """Return the HTML document."""
    return load_template(__package__, "sweep.html.j2", json=json.dumps).render(
        report=report,
        style=stylesheet(),
        headline=HEADLINE,
        meaning=MEANING,
        panels=_panels(report),
        curves=[(curve, _curve_charts(report, curve)) for curve in report.curves],
        series=[(TITLES[name], index) for index, name in enumerate(_POLICIES)],
    )


@dataclass(frozen=True)
class _Shown:
    """A variant in the charts: (value, low, high) by policy and metric.

    The bounds are those of the 95 % interval or, over several seeds, one standard deviation between them.
    """

    name: str
    under_test: str
    figures: Mapping[str, Mapping[str, tuple[float, float | None, float | None]]]


def _shown(report: SweepReport) -> list[_Shown]:
    """Return the variants that have figures."""
    if report.seeds:
        return [
            _Shown(
                one.name,
                one.under_test,
                {
                    policy: {
                        metric: (mean.value, mean.value - mean.spread, mean.value + mean.spread)
                        if mean.spread is not None
                        else (mean.value, None, None)
                        for metric, mean in metrics.items()
                    }
                    for policy, metrics in one.means.items()
                },
            )
            for one in report.seeds
            if one.seeds
        ]
    return [
        _Shown(
            one.name,
            one.under_test,
            {
                policy: {
                    metric: (estimate.value, estimate.low, estimate.high)
                    for metric, estimate in metrics.items()
                    if estimate.value is not None
                }
                for policy, metrics in one.policies.items()
            },
        )
        for one in report.variants
        if one.policies
    ]


def _panels(report: SweepReport) -> list[tuple[str, Markup]]:
    """Return one chart per headline metric with the policy under test of every variant that is not on a curve."""
    on_curves = {name for curve in report.curves for _, name in curve.points}
    shown = [variant for variant in _shown(report) if variant.name not in on_curves]
    if not shown:
        return []
    return [
        (
            metric,
            plots.bar_chart(
                [
                    plots.Bar(
                        variant.name,
                        _POLICIES.index(variant.under_test),
                        *variant.figures[variant.under_test].get(metric, (None, None, None)),
                    )
                    for variant in shown
                ],
                top=AXIS_MAX.get(metric, 1.0),
                title=f"{metric} of each variant, with {_bounds(report)}",
            ),
        )
        for metric in HEADLINE
    ]


def _curve_charts(report: SweepReport, curve: CurveReport) -> list[tuple[str, Markup]]:
    """Return one chart per headline metric that plots every policy against the values of the curve's field."""
    by_name = {variant.name: variant for variant in _shown(report)}
    variants = [(value, by_name[name]) for value, name in curve.points if name in by_name]
    charts = []
    for metric in HEADLINE:
        series: list[plots.MeasuredSeries] = []
        for index, policy in enumerate(_POLICIES):
            points: Sequence[plots.Point] = [
                plots.Point(value, *variant.figures[policy][metric])
                for value, variant in variants
                if metric in variant.figures.get(policy, {})
            ]
            if points:
                series.append(plots.MeasuredSeries(TITLES[policy], index, points))
        title = f"{metric} against {curve.title}, with {_bounds(report)}"
        charts.append((metric, plots.measurement_chart(series, top=AXIS_MAX.get(metric, 1.0), title=title)))
    return charts


def _bounds(report: SweepReport) -> str:
    return "the spread between seeds" if report.seeds else "95 % intervals"
