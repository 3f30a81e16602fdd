"""The headline metrics of policies as a table for a terminal."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import JsonValue
from rich.table import Table


def metrics_table(headline: Mapping[str, JsonValue]) -> Table:
    """Return the table of `headline`, which maps policies to metrics and values (summary of the evaluate stage)."""
    rows = {policy: metrics for policy, metrics in headline.items() if isinstance(metrics, dict)}
    names = list(dict.fromkeys(name for metrics in rows.values() for name in metrics))
    table = Table(title="held-out sessions, greedy decoding", title_justify="left")
    table.add_column("policy")
    for name in names:
        table.add_column(name, justify="right")
    for policy, metrics in rows.items():
        table.add_row(policy, *(_figure(metrics.get(name)) for name in names))
    return table


def _figure(value: JsonValue) -> str:
    return f"{value:.3f}" if isinstance(value, int | float) else "–"
