"""What people say of the labels and graders of a run, for a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.table import Table

from learntoask.evaluation.report.people_table import people_table
from learntoask.statistics.bootstrap import Estimate


def agreement_table(record: Mapping[str, Any]) -> Table:
    """Return how far people agree with labels and graders, before and after their answers were used.

    `record` is the content of calibration.json.
    """
    table = Table(title="agreement with people (κ, 95 % interval)", title_justify="left")
    table.add_column("")
    for name in ("before", "after"):
        table.add_column(name, justify="right")
    table.add_column("gate")
    for judge, before, after, verdict in people_table(record).agreement:
        table.add_row(judge, _kappa(before), _kappa(after), verdict)
    labels = record["labels"]
    table.caption = (
        f"labels: {labels['corrected']} corrected, {labels['added']} added, {labels['purged']} purged"
    )
    table.caption_justify = "left"
    return table


def _kappa(found: Estimate) -> str:
    if found.value is None:
        return "–"
    interval = (
        f" [{found.low:.2f}, {found.high:.2f}]" if found.low is not None and found.high is not None else ""
    )
    return f"{found.value:.2f}{interval}"
