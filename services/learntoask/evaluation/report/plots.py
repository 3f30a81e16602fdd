"""Plots as inline SVG. Each function turns numbers into markup and has no side effects.

Colours come from classes of the page's style sheet (`series-0`, `series-1`, …), so one plot serves light and dark mode.
All text is escaped. Sizes are in view-box units and scale with the page.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

_ROW = 22
_HALF_WIDTHS = (0.05, 0.1, 0.2, 0.5, 1.0)  # of the axis of a forest plot
_LETTER = 6.2  # width of an average letter of a label


@dataclass(frozen=True)
class Bar:
    """A value with its interval in the colour of series `series`; a value of None is drawn as a dash."""

    label: str
    series: int
    value: float | None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Line:
    """A curve in the colour of series `series`."""

    label: str
    series: int
    points: Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Point:
    """A measured value `y` at `x` with its interval."""

    x: float
    y: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class MeasuredSeries:
    """A quantity measured at a few points, in the colour of series `series`."""

    label: str
    series: int
    points: Sequence[Point]


def bar_chart(rows: Sequence[Bar], *, top: float, title: str) -> Markup:
    """Draw horizontal bars on an axis from 0 to `top`, with interval whiskers."""
    left, width, right = 12 + _LETTER * max(len(row.label) for row in rows), 200, 46
    height = _ROW * len(rows) + 4
    parts = [_line(left, 0, left, height, "axis")]
    for index, row in enumerate(rows):
        middle = _ROW * index + _ROW / 2 + 2
        parts.append(_text(left - 6, middle, row.label, anchor="end"))
        if row.value is None:
            parts.append(_text(left + 6, middle, "–", css="faint"))
            continue
        end = left + width * _clip(row.value / top)
        parts.append(
            f'<rect class="series-{row.series}" x="{left}" y="{middle - 6:.1f}" '
            f'width="{max(end - left, 0.8):.1f}" height="12" rx="2"/>'
        )
        if row.low is not None and row.high is not None:
            low, high = (left + width * _clip(bound / top) for bound in (row.low, row.high))
            parts += [
                _line(low, middle, high, middle, "whisker"),
                _line(low, middle - 3.5, low, middle + 3.5, "whisker"),
                _line(high, middle - 3.5, high, middle + 3.5, "whisker"),
            ]
        parts.append(_text(left + width + right, middle, f"{row.value:.3f}", anchor="end", css="value"))
    return _svg(left + width + right, height, title, parts)


def forest_plot(rows: Sequence[Bar], *, title: str) -> Markup:
    """Draw differences and their intervals around a line at 0. A filled dot marks an interval that excludes 0."""
    left, width, right = 12 + _LETTER * max(len(row.label) for row in rows), 190, 150
    bounds = [abs(bound) for row in rows for bound in (row.low, row.high, row.value) if bound is not None]
    reach = next(step for step in (*_HALF_WIDTHS, max([1.0, *bounds])) if step >= max([0.0, *bounds]))
    height = _ROW * len(rows) + 18

    def at(value: float) -> float:
        return left + width * (0.5 + 0.5 * value / reach)

    parts = [_line(at(0), 0, at(0), height - 14, "axis")]
    for tick in (-reach, reach):
        parts.append(_text(at(tick), height - 5, f"{tick:+g}".replace("-", "−"), anchor="middle", css="tick"))
    parts.append(_text(at(0), height - 5, "0", anchor="middle", css="tick"))
    for index, row in enumerate(rows):
        middle = _ROW * index + _ROW / 2
        parts.append(_text(left - 8, middle, row.label, anchor="end"))
        if row.value is None:
            parts.append(_text(at(0), middle, "not measured", anchor="middle", css="faint"))
            continue
        sure = row.low is not None and row.high is not None and (row.low > 0 or row.high < 0)
        tone = "same" if not sure else "better" if row.value > 0 else "worse"
        if row.low is not None and row.high is not None:
            parts.append(_line(at(row.low), middle, at(row.high), middle, f"span {tone}"))
        parts.append(f'<circle class="dot {tone}" cx="{at(row.value):.1f}" cy="{middle:.1f}" r="3.6"/>')
        parts.append(_text(left + width + 8, middle, _difference(row), css="value"))
    return _svg(left + width + right, height, title, parts)


def line_chart(series: Sequence[Line], *, title: str) -> Markup:
    """Draw curves over a shared x axis; the y axis shows the smallest and the largest value."""
    left, width, height, bottom = 44, 236, 92, 16
    points = [point for line in series for point in line.points]
    (x0, x1), (y0, y1) = _span(x for x, _ in points), _span(y for _, y in points)

    def at(point: tuple[float, float]) -> str:
        x = left + width * (point[0] - x0) / (x1 - x0)
        return f"{x:.1f},{6 + (height - 12) * (1 - (point[1] - y0) / (y1 - y0)):.1f}"

    parts = [_line(left, height, left + width, height, "axis"), _line(left, 0, left, height, "axis")]
    for value, y in ((y1, 6), (y0, height - 6)):
        parts.append(_text(left - 5, y, _number(value), anchor="end", css="tick"))
    for value, place, anchor in ((x0, left, "start"), (x1, left + width, "end")):
        parts.append(_text(place, height + 9, _number(value), anchor=anchor, css="tick"))
    for line in series:
        # A curve of one point becomes a line of length 0, which its round caps draw as a dot.
        path = " ".join(at(point) for point in [*line.points, *line.points[:1]][: max(2, len(line.points))])
        parts.append(f'<polyline class="curve series-{line.series}" points="{path}"/>')
    return _svg(left + width + 6, height + bottom, title, parts)


def measurement_chart(series: Sequence[MeasuredSeries], *, top: float, title: str) -> Markup:
    """Draw measured points, joined by lines, on a y axis from 0 to `top`, with interval whiskers."""
    left, width, height, bottom = 34, 240, 150, 18
    places = sorted({point.x for line in series for point in line.points})
    x0, x1 = _span(places)

    def at(x: float, y: float) -> tuple[float, float]:
        return left + 10 + (width - 20) * (x - x0) / (x1 - x0), 6 + (height - 6) * (1 - _clip(y / top))

    parts = [_line(left, height, left + width, height, "axis"), _line(left, 6, left, height, "axis")]
    for value in (0.0, top / 2, top):
        parts.append(_text(left - 5, at(x0, value)[1], _number(value), anchor="end", css="tick"))
    for place in places:
        parts.append(_text(at(place, 0)[0], height + 9, _number(place), anchor="middle", css="tick"))
    for line in series:
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in (at(point.x, point.y) for point in line.points))
        parts.append(f'<polyline class="curve series-{line.series}" points="{path}"/>')
        for point in line.points:
            x, y = at(point.x, point.y)
            if point.low is not None and point.high is not None:
                parts.append(_line(x, at(x0, point.low)[1], x, at(x0, point.high)[1], "whisker"))
            tooltip = f"{line.label} at {_number(point.x)}: {point.y:.3f}"
            parts.append(
                f'<circle class="series-{line.series}" cx="{x:.1f}" cy="{y:.1f}" r="3.4">'
                f"<title>{escape(tooltip)}</title></circle>"
            )
    return _svg(left + width + 6, height + bottom, title, parts)


def calibration_plot(series: Sequence[Line], *, title: str) -> Markup:
    """Draw predicted against observed shares in the unit square, with the diagonal of perfect calibration."""
    left, size, bottom = 40, 220, 34

    def at(point: tuple[float, float]) -> tuple[float, float]:
        return left + size * point[0], 6 + size * (1 - point[1])

    parts = [
        f'<rect class="frame" x="{left}" y="6" width="{size}" height="{size}"/>',
        _line(*at((0, 0)), *at((1, 1)), "diagonal"),
        _text(left + size / 2, size + 30, "probability of stopping", anchor="middle", css="tick"),
        f'<text class="tick" text-anchor="middle" transform="translate(10 {6 + size / 2}) rotate(-90)">'
        "share where the expert stopped</text>",
    ]
    for value in (0.0, 0.5, 1.0):
        x, y = at((value, value))
        parts.append(_text(x, size + 15, f"{value:g}", anchor="middle", css="tick"))
        parts.append(_text(left - 5, y, f"{value:g}", anchor="end", css="tick"))
    for line in series:
        places = [at(point) for point in line.points]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        parts.append(f'<polyline class="curve series-{line.series}" points="{path}"/>')
        parts += [
            f'<circle class="series-{line.series}" cx="{x:.1f}" cy="{y:.1f}" r="3.4"/>' for x, y in places
        ]
    return _svg(left + size + 10, size + bottom + 4, title, parts)


def stacked_bar(parts_of: Sequence[tuple[str, float]], *, title: str) -> Markup:
    """Draw one horizontal bar of shares that add up to at most 1; the class of each part is its name."""
    width, height, x = 300.0, 18, 0.0
    parts = [f'<rect class="empty" x="0" y="0" width="{width:g}" height="{height}" rx="3"/>']
    for name, share in parts_of:
        if share > 0:
            parts.append(
                f'<rect class="{escape(name)}" x="{x:.1f}" y="0" width="{width * share:.1f}" height="{height}">'
                f"<title>{escape(name)}: {share:.1%}</title></rect>"
            )
            if share > 0.12:
                label = f"{share:.0%}"
                parts.append(_text(x + width * share / 2, height / 2, label, anchor="middle", css="on-bar"))
            x += width * share
    return _svg(width, height, title, parts)


def _svg(width: float, height: float, title: str, parts: Iterable[str]) -> Markup:
    name = escape(title)
    return Markup(
        f'<svg viewBox="0 0 {width:g} {height:g}" style="max-width: {1.3 * width:.0f}px" role="img" '
        f'aria-label="{name}"><title>{name}</title>' + "".join(parts) + "</svg>"
    )


def _line(x1: float, y1: float, x2: float, y2: float, css: str) -> str:
    return f'<line class="{css}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def _text(x: float, y: float, text: str, *, anchor: str = "start", css: str = "label") -> str:
    return (
        f'<text class="{css}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" dominant-baseline="central">'
        f"{escape(text)}</text>"
    )


def _difference(row: Bar) -> str:
    if row.low is None or row.high is None:
        return f"{row.value:+.3f}"
    return f"{row.value:+.3f} ({row.low:+.3f} … {row.high:+.3f})".replace("-", "−")


def _clip(share: float) -> float:
    return min(max(share, 0.0), 1.0)


def _span(numbers: Iterable[float]) -> tuple[float, float]:
    found = list(numbers)
    low, high = min(found, default=0.0), max(found, default=1.0)
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def _number(value: float) -> str:
    return f"{value:.3g}"
