"""Plots are well-formed SVG with escaped text, and their marks are at the right places."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest
from learntoask.evaluation.report import plots
from learntoask.evaluation.report.plots import Bar, Line

HOSTILE = '<script>alert("x")</script> & more'
CHARTS = {
    "bars": plots.bar_chart([Bar(HOSTILE, 0, 0.5, 0.4, 0.6), Bar("none", 1, None)], top=1.0, title=HOSTILE),
    "forest": plots.forest_plot([Bar(HOSTILE, 0, -0.2, -0.3, 0.1), Bar("none", 0, None)], title=HOSTILE),
    "lines": plots.line_chart([Line("a", 1, [(0, 1.0), (1, 2.0)]), Line("b", 2, [(0, 3.0)])], title=HOSTILE),
    "calibration": plots.calibration_plot([Line("a", 0, [(0.1, 0.0), (0.9, 1.0)])], title=HOSTILE),
    "stacked": plots.stacked_bar([("on-time", 0.7), (HOSTILE, 0.3)], title=HOSTILE),
}


@pytest.mark.parametrize("name", CHARTS)
def test_every_plot_is_well_formed_and_escapes_its_text(name: str) -> None:
    root = ElementTree.fromstring(str(CHARTS[name]))
    assert root.get("aria-label") == HOSTILE
    assert not list(root.iter("script"))
    assert "NaN" not in CHARTS[name]


def test_a_bar_is_as_long_as_its_value() -> None:
    svg = plots.bar_chart([Bar("a", 0, 1.0), Bar("b", 1, 3.0), Bar("c", 2, 9.0)], top=4.0, title="t")
    widths = [float(width) for width in re.findall(r'<rect[^>]* width="([\d.]+)"', svg)]
    assert widths == [50.0, 150.0, 200.0]  # the last is clipped at the top of the scale


@pytest.mark.parametrize(
    ("low", "high", "value", "tone"),
    [
        (0.1, 0.3, 0.2, "better"),
        (-0.3, -0.1, -0.2, "worse"),
        (-0.1, 0.3, 0.1, "same"),
        (None, None, 0.5, "same"),
    ],
)
def test_a_difference_is_coloured_only_if_its_interval_leaves_out_zero(
    low: float | None, high: float | None, value: float, tone: str
) -> None:
    svg = plots.forest_plot([Bar("a", 0, value, low, high)], title="t")
    assert f'class="dot {tone}"' in svg


def test_a_flat_or_single_curve_is_still_drawn() -> None:
    flat = plots.line_chart([Line("a", 0, [(0, 1.0), (1, 1.0)])], title="t")
    single = plots.line_chart([Line("a", 0, [(5, 1.0)])], title="t")
    assert len(re.search(r'points="([^"]+)"', flat)[1].split()) == 2
    assert len(re.search(r'points="([^"]+)"', single)[1].split()) == 2
