"""Two runs side by side, with the significance of every difference, from their decisions alone."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from pydantic import JsonValue
from rich.table import Table

from learntoask.core.errors import InputError
from learntoask.core.json_lines import read_records
from learntoask.core.manifest.metric import METRICS
from learntoask.core.records import Record
from learntoask.evaluation.decisions import DecisionRow, Decoding
from learntoask.evaluation.report_schema import Report, read_report
from learntoask.evaluation.stats.bootstrap import Difference, contrasts
from learntoask.evaluation.stats.metrics import values
from learntoask.evaluation.summary import row_sums

_RESAMPLES = 2000
_SEED = 0
_HEADLINE = ("WA-GH", "WA-GH-given-asked", "ask-rate", "WS-continue", "WS-stop", "TA", "Format", "Total")


class Row(Record):
    """One metric of one policy in both runs; `difference` is b − a."""

    policy: str
    decoding: Decoding
    metric: str
    a: float | None
    b: float | None
    difference: Difference


class Comparison(Record):
    """`shared` sessions with the same decision points are paired, the others are drawn independently.

    `changed` are sessions of the same id whose decision points or labels differ: they are not paired. `settings` lists
    what differs between the two runs, as path → (a, b).
    """

    a: str
    b: str
    shared: int
    only_a: int
    only_b: int
    changed: int
    settings: dict[str, tuple[JsonValue, JsonValue]]
    same_grader: bool
    rows: tuple[Row, ...]


def compare(a: Path, b: Path) -> Comparison:
    """Compare the evaluations in two folders (report.json and decisions.jsonl, as the evaluate stage publishes).

    Policies of the same name are compared; where no name is shared, the two policies under test are. Raises InputError.
    """
    first, second = read_report(a), read_report(b)
    names = {policy.name for policy in second.policies}
    same = [(policy.name, policy.name) for policy in first.policies if policy.name in names]
    return _compared(a, b, first, second, matched=same or [(first.under_test, second.under_test)])


def compare_tested(a: Path, b: Path) -> Comparison:
    """The same for nothing but the two policies under test, whatever their names."""
    first, second = read_report(a), read_report(b)
    return _compared(a, b, first, second, matched=[(first.under_test, second.under_test)])


def _compared(
    a: Path, b: Path, first: Report, second: Report, *, matched: Sequence[tuple[str, str]]
) -> Comparison:
    rows_a, rows_b = _decisions(a), _decisions(b)
    pairing = _Pairing(rows_a, rows_b)
    rows = [
        row
        for name_a, name_b in matched
        for decoding in ("greedy", "sampled")
        for row in _rows(
            [one for one in rows_a if (one.policy, one.decoding) == (name_a, decoding)],
            [one for one in rows_b if (one.policy, one.decoding) == (name_b, decoding)],
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
        settings=_changes(first.settings, second.settings),
        same_grader=first.grader.reporting == second.grader.reporting,
        rows=tuple(rows),
    )


def comparison_table(comparison: Comparison, *, decoding: Decoding = "greedy") -> Table:
    """The headline metrics of a comparison for a terminal; significant differences carry a star."""
    table = Table(title=f"A  {comparison.a}\nB  {comparison.b}", title_justify="left", title_style="dim")
    table.add_column("policy")
    table.add_column("metric")
    for name in ("A", "B", "B − A", "95 % interval", "p"):
        table.add_column(name, justify="right")
    policy = ""
    for row in comparison.rows:
        if row.decoding != decoding or row.metric not in _HEADLINE:
            continue
        if policy and row.policy != policy:
            table.add_section()
        found = row.difference
        star = "[bold]" if found.significant else ""
        table.add_row(
            row.policy if row.policy != policy else "",
            row.metric,
            _shown(row.a),
            _shown(row.b),
            f"{star}{_shown(found.value, sign=True)}{' *' if found.significant else ''}",
            "–" if found.low is None else f"{_shown(found.low, sign=True)} … {_shown(found.high, sign=True)}",
            "–" if found.p_value is None else f"{found.p_value:.3f}",
        )
        policy = row.policy
    return table


class _Pairing:
    """Which sessions are the same in both runs: same id, same decision points, same truth."""

    def __init__(self, a: Sequence[DecisionRow], b: Sequence[DecisionRow]) -> None:
        truths_a, truths_b = _truths(a), _truths(b)
        both = set(truths_a) & set(truths_b)
        self.shared = {session for session in both if truths_a[session] == truths_b[session]}
        self.changed = both - self.shared
        self.only_a = set(truths_a) - self.shared
        self.only_b = set(truths_b) - self.shared


def _truths(rows: Sequence[DecisionRow]) -> Mapping[str, set[tuple[int, str, tuple[str, ...]]]]:
    found: dict[str, set[tuple[int, str, tuple[str, ...]]]] = {}
    for row in rows:
        found.setdefault(row.session, set()).add((row.turn, row.truth, row.target))
    return found


def _rows(a: Sequence[DecisionRow], b: Sequence[DecisionRow], pairing: _Pairing, *, policy: str) -> list[Row]:
    if not a or not b:
        return []
    nothing = row_sums([])
    shared_a, shared_b = _of(a, pairing.shared), _of(b, pairing.shared)
    strata = [
        (row_sums(shared_a), row_sums(shared_b)),
        (row_sums(_of(a, pairing.only_a)), nothing),
        (nothing, row_sums(_of(b, pairing.only_b))),
    ]
    found = contrasts(strata, (-1, 1), resamples=_RESAMPLES, seed=_SEED)
    old, new = values(row_sums(a).sum(axis=0)), values(row_sums(b).sum(axis=0))
    return [
        Row(
            policy=policy,
            decoding=a[0].decoding,
            metric=name,
            a=_known(float(old[name])),
            b=_known(float(new[name])),
            difference=found[name],
        )
        for name in METRICS
    ]


def _of(rows: Sequence[DecisionRow], sessions: set[str]) -> list[DecisionRow]:
    return [row for row in rows if row.session in sessions]


def _decisions(folder: Path) -> list[DecisionRow]:
    path = (folder if folder.is_dir() else folder.parent) / "decisions.jsonl"
    rows = list(read_records(path, DecisionRow))
    if not rows:
        raise InputError(f"{path} holds no decisions")
    return rows


def _changes(a: JsonValue, b: JsonValue, path: str = "") -> dict[str, tuple[JsonValue, JsonValue]]:
    if isinstance(a, dict) and isinstance(b, dict):
        changes: dict[str, tuple[JsonValue, JsonValue]] = {}
        for name in sorted(a.keys() | b.keys()):
            changes |= _changes(a.get(name), b.get(name), f"{path}.{name}".lstrip("."))
        return changes
    return {} if json.dumps(a) == json.dumps(b) else {path: (a, b)}


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value


def _shown(value: float | None, *, sign: bool = False) -> str:
    if value is None:
        return "–"
    return f"{value:+.3f}" if sign else f"{value:.3f}"
