"""The stages of a run as a table for a terminal, and as JSON for scripts."""

from __future__ import annotations

import time
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from learntoask.cluster.display import ShownRun, activity_of, seconds_taken
from learntoask.local.display import duration
from learntoask.local.view import RunView

_COLOURS = {"Published": "green", "Running": "cyan", "Failed": "red", "Pending": "dim"}
_OTHER_COLOUR = "yellow"  # a stage that waits for something


def run_json(shown: RunView) -> dict[str, Any]:
    """Return a run of this machine for scripts, with durations in seconds and whole digests."""
    return {
        "run": shown.folder.name,
        "manifest": str(shown.sources.path),
        "outcome": shown.outcome,
        "reason": shown.plan.reason,
        "message": shown.plan.message,
        "stages": [
            {
                "stage": stage.name,
                "state": stage.state,
                "key": stage.key,
                "output": stage.output,
                "attempt": stage.attempt,
                "reason": stage.reason,
                "message": stage.message,
                "seconds": _seconds(shown, stage.name),
                "summary": shown.publications[stage.name].summary if stage.name in shown.publications else {},
                "inputs": shown.publications[stage.name].inputs if stage.name in shown.publications else {},
            }
            for stage in shown.plan.stages
        ],
    }


def run_table(shown: RunView) -> Table:
    """The table of a run of this machine."""
    table = Table(title=f"run {shown.folder.name}: {shown.outcome}", title_justify="left")
    for heading in ("stage", "state", "took", "output", "inputs"):
        table.add_column(heading, overflow="fold")
    for stage in shown.plan.stages:
        publication = shown.publications.get(stage.name)
        inputs = publication.inputs if publication else {}
        lineage = " ".join(f"{name}:{digest[:8]}" for name, digest in inputs.items())
        seconds = _seconds(shown, stage.name)
        table.add_row(
            stage.name,
            f"[{_COLOURS.get(stage.state, _OTHER_COLOUR)}]{stage.state}[/]",
            duration(seconds) if seconds is not None else "",
            (stage.output or "")[:12],
            f"[dim]{lineage}[/]",
        )
    return table


def print_published(console: Console, shown: RunView | ShownRun) -> None:
    """Say which policy was published and why, once the run has evaluated it."""
    if isinstance(shown, ShownRun):
        record = shown.status.record("evaluate")
        summary = record.summary if record else {}
    else:
        summary = shown.publications["evaluate"].summary if "evaluate" in shown.publications else {}
    if reason := summary.get("published"):
        console.print(str(reason), markup=False)


def cluster_run_table(run: ShownRun, *, now: float) -> Table:
    """The table of a run in a cluster; `now` is in seconds since the epoch."""
    table = Table(title=f"run {run.namespace}/{run.name}: {run.status.phase}", title_justify="left")
    for heading in ("stage", "state", "took", "output", ""):
        table.add_column(heading, overflow="fold")
    for record in run.status.stages:
        seconds = seconds_taken(record, now=now)
        again = f" (attempt {record.attempt})" if record.attempt > 1 else ""
        table.add_row(
            record.name,
            f"[{_COLOURS.get(record.state, _OTHER_COLOUR)}]{record.state}[/]{again}",
            duration(seconds) if seconds is not None else "",
            (record.output or "")[:12],
            escape(activity_of(record)),
        )
    return table


def _seconds(shown: RunView, stage: str) -> float | None:
    """Duration of the published computation, or of the latest attempt until now."""
    publication = shown.publications.get(stage)
    if publication:
        return publication.finished - publication.started
    attempt = shown.state.stages.get(stage)
    if attempt is None:
        return None
    return (attempt.finished or time.time()) - attempt.started
