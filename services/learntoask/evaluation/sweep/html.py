"""The page of a sweep: one file without scripts or outside references, in the style of the evaluation report."""

from __future__ import annotations

import json
from collections.abc import Sequence

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from learntoask.evaluation.report import plots
from learntoask.evaluation.report.html import LARGEST, MEANING, TITLES, number, signed, stylesheet, title
from learntoask.evaluation.sweep.report import HEADLINE, CurveReport, SweepReport

_POLICIES = ("base", "sft", "grpo")


def sweep_page(report: SweepReport) -> str:
    """The whole HTML document."""
    environment = Environment(
        loader=PackageLoader("learntoask.evaluation.sweep", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"number": number, "signed": signed, "title": title, "json": json.dumps}
    return environment.get_template("sweep.html.j2").render(
        report=report,
        style=stylesheet(),
        headline=HEADLINE,
        meaning=MEANING,
        panels=_panels(report),
        curves=[(curve, _drawn(report, curve)) for curve in report.curves],
        series=[(TITLES[name], index) for index, name in enumerate(_POLICIES)],
    )


def _panels(report: SweepReport) -> list[tuple[str, Markup]]:
    """Per headline metric, the policy under test of every variant that is no point of a curve."""
    on_curves = {name for curve in report.curves for _, name in curve.points}
    shown = [variant for variant in report.variants if variant.policies and variant.name not in on_curves]
    if not shown:
        return []
    return [
        (
            metric,
            plots.bars(
                [
                    plots.Bar(one.name, _POLICIES.index(one.under_test), found.value, found.low, found.high)
                    for one in shown
                    for found in (one.tested[metric],)
                ],
                top=LARGEST.get(metric, 1.0),
                title=f"{metric} of each variant, with 95 % intervals",
            ),
        )
        for metric in HEADLINE
    ]


def _drawn(report: SweepReport, curve: CurveReport) -> list[tuple[str, Markup]]:
    """Per headline metric, every trained policy against the field's value."""
    variants = [(value, report.variant(name)) for value, name in curve.points]
    drawn = []
    for metric in HEADLINE:
        series: list[plots.Measured] = []
        for index, policy in enumerate(_POLICIES):
            points: Sequence[plots.Point] = [
                plots.Point(value, found.value, found.low, found.high)
                for value, variant in variants
                if policy in variant.policies
                for found in (variant.policies[policy][metric],)
                if found.value is not None
            ]
            if points:
                series.append(plots.Measured(TITLES[policy], index, points))
        words = f"{metric} against {curve.title}, with 95 % intervals"
        drawn.append((metric, plots.measured(series, top=LARGEST.get(metric, 1.0), title=words)))
    return drawn
