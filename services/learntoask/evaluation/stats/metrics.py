"""The metrics of docs/method.md. Each is a ratio of sums over completions.

The sums are kept per session, which suffices for the values and for resampling sessions. A is 1 if the decision is
right; C is the content grade and F the format grade, both 0 if A = 0:

    WA                 mean C over `continue` samples            WA-GH   share of them with C = 1
    ask-rate           share of them answered with a question    …-given-asked   the same over those only
    WS-continue/-stop  mean A per class                          TA      mean A over all
    Format             mean F over all                           Total   mean A(1 + 2C) + F over all
    …-share            C is the share of the asked items that are in the target, instead of 1 for any hit

A completion whose grade is missing is left out of every sum. Only a question where one was right needs a grade: a
wrong decision has C = F = 0 and a rule grades stops, so their grades cannot be missing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from learntoask.core.manifest.metric import METRICS
from learntoask.core.records import Decision
from learntoask.statistics.bootstrap import Floats, Metrics

COLUMNS = (
    "continues",
    "stops",
    "right_continues",
    "right_stops",
    "content",
    "content_share",
    "hits",
    "questions",
    "format",
    "total",
    "total_share",
    "missing",
)
"""Names of the sums of a session: the last axis of every array of sums."""

_RATIOS: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "WA": (("content",), ("continues",)),
    "WA-share": (("content_share",), ("continues",)),
    "WA-GH": (("hits",), ("continues",)),
    "ask-rate": (("questions",), ("continues",)),
    "WA-given-asked": (("content",), ("questions",)),
    "WA-GH-given-asked": (("hits",), ("questions",)),
    "WS-continue": (("right_continues",), ("continues",)),
    "WS-stop": (("right_stops",), ("stops",)),
    "TA": (("right_continues", "right_stops"), ("continues", "stops")),
    "Format": (("format",), ("continues", "stops")),
    "Total": (("total",), ("continues", "stops")),
    "Total-share": (("total_share",), ("continues", "stops")),
    "missing-share": (("missing",), ("continues", "stops", "missing")),
}
assert tuple(_RATIOS) == METRICS
HEADLINE = ("WA-GH", "WS-continue", "WS-stop", "Total")
"""The metrics that summaries of a report show: the final table of a run, the top of its page, and sweeps."""
IN_UNIT_RANGE = frozenset(METRICS) - {"Total", "Total-share"}
IDENTITY_TOLERANCE = 1e-9


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """One completion at one decision point, with the grades as the grader gave them (not yet multiplied by A)."""

    session: str
    truth: Decision
    decision: Decision
    content: float = 0.0
    content_share: float = 0.0
    format: float = 0.0
    is_question: bool = False
    missing: bool = False


def sums_by_session(outcomes: Sequence[Outcome], sessions: Sequence[str]) -> Floats:
    """Return sums of shape (sessions, columns), with rows in the order of `sessions`.

    Raises KeyError for an outcome of any other session.
    """
    row_of = {session: row for row, session in enumerate(sessions)}
    sums = np.zeros((len(sessions), len(COLUMNS)))
    for outcome in outcomes:
        sums[row_of[outcome.session]] += _row(outcome)
    return sums


def rows(outcomes: Sequence[Outcome]) -> Floats:
    """Return what each completion adds to the sums, [completions, columns]."""
    return np.array([_row(outcome) for outcome in outcomes]).reshape(len(outcomes), len(COLUMNS))


def parts_of(metric: str, sums: Floats) -> tuple[Floats, Floats]:
    """Return numerator and denominator of a metric, from `sums` of shape (…, columns)."""
    column = {name: sums[..., index] for index, name in enumerate(COLUMNS)}
    above, below = _RATIOS[metric]
    return _add(column, above), _add(column, below)


def metric_values(sums: Floats) -> dict[str, Floats]:
    """Return every metric of `sums` (shape (…, columns)) as an array of shape (…). A metric of 0 completions is NaN."""
    column = {name: sums[..., index] for index, name in enumerate(COLUMNS)}
    return {name: _ratio(column, *parts) for name, parts in _RATIOS.items()}


def denominators(sums: Floats) -> dict[str, Floats]:
    """Return the number of completions that each metric is a mean over, as arrays of shape (…)."""
    column = {name: sums[..., index] for index, name in enumerate(COLUMNS)}
    return {name: _add(column, below) for name, (_, below) in _RATIOS.items()}


REPORT_METRICS = Metrics(values=metric_values, denominators=denominators, shares=IN_UNIT_RANGE)
"""The metrics of a report, of sums with the columns COLUMNS."""


def identity_error(sums: Floats) -> float | None:
    """Return |Total − (TA + 2·(p·WA + (1−p)·WS-stop) + Format)| of one row of sums, or None for 0 completions."""
    found = {name: float(value) for name, value in metric_values(sums).items()}
    if np.isnan(found["Total"]):
        return None
    continues = float(sums[COLUMNS.index("continues")])
    p = continues / (continues + float(sums[COLUMNS.index("stops")]))
    content = (p * found["WA"] if p > 0 else 0.0) + ((1 - p) * found["WS-stop"] if p < 1 else 0.0)
    return abs(found["Total"] - (found["TA"] + 2 * content + found["Format"]))


def _row(outcome: Outcome) -> Floats:
    row = dict.fromkeys(COLUMNS, 0.0)
    right = outcome.decision == outcome.truth
    if outcome.truth == "stop":
        row["stops"] = 1.0
        row["right_stops"] = float(right)
        content = share = float(right)
    elif outcome.missing and right:
        row["missing"] = 1.0
        return np.array([row[name] for name in COLUMNS])
    else:
        asked = right and outcome.is_question
        content = outcome.content if asked else 0.0
        share = outcome.content_share if asked else 0.0
        row["continues"] = 1.0
        row["right_continues"] = float(right)
        row["questions"] = float(asked)
        row["content"], row["content_share"], row["hits"] = content, share, float(content == 1.0)
    row["format"] = outcome.format if right else 0.0
    row["total"] = right * (1.0 + 2.0 * content) + row["format"]
    row["total_share"] = right * (1.0 + 2.0 * share) + row["format"]
    return np.array([row[name] for name in COLUMNS])


def _ratio(column: Mapping[str, Floats], above: tuple[str, ...], below: tuple[str, ...]) -> Floats:
    denominator = _add(column, below)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(denominator > 0, _add(column, above) / denominator, np.nan)


def _add(column: Mapping[str, Floats], names: tuple[str, ...]) -> Floats:
    total: Floats = np.sum([column[name] for name in names], axis=0)
    return total
