"""What a person sees while a run goes on: bars with remaining time on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from learntoask.core.planner import Plan

_QUIET_INTERVAL = 15.0  # seconds between two lines about one stage where there is no terminal


class RunDisplay:
    """Context manager; implements executor.Display."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._told: set[str] = set()
        self._tasks: dict[str, TaskID] = {}
        self._last_line = 0.0
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("[bold]{task.fields[stage]:9}"),
            TextColumn("{task.description}"),
            BarColumn(bar_width=28),
            TextColumn("{task.percentage:>3.0f} %"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            TextColumn("[dim]{task.fields[metrics]}"),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )

    def __enter__(self) -> RunDisplay:
        self._progress.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._progress.stop()

    def planned(self, plan: Plan) -> None:
        for status in plan.stages:
            if status.state == "Published" and status.name not in self._told:
                self._told.add(status.name)
                self._console.print(
                    f"[green]✓[/] {status.name:9} unchanged, taken from the store ({_short(status.output)})"
                )
            if status.state == "Retrying" and f"{status.name}/{status.attempt}" not in self._told:
                self._told.add(f"{status.name}/{status.attempt}")
                self._console.print(
                    f"[yellow]↻[/] {status.name:9} will be tried again after: {status.message}"
                )

    def started(self, stage: str, attempt: int) -> None:
        again = f" (attempt {attempt})" if attempt > 1 else ""
        self._last_line = 0.0
        if not self._console.is_terminal:
            self._console.print(f"→ {stage:9} started{again}")
        self._tasks[stage] = self._progress.add_task(f"starting{again}", total=None, stage=stage, metrics="")

    def progressed(self, stage: str, progress: dict[str, Any]) -> None:
        metrics = "  ".join(f"{name} {value:.4g}" for name, value in progress["metrics"].items())
        done, total, message = progress["done"], progress["total"], progress["message"]
        task = self._tasks[stage]
        if self._progress.tasks[self._progress.task_ids.index(task)].description != message:
            self._progress.reset(
                task, description=message
            )  # a new step: its remaining time is estimated anew
        self._progress.update(task, completed=done, total=total, metrics=metrics)
        now = time.monotonic()
        if not self._console.is_terminal and now - self._last_line > _QUIET_INTERVAL:
            self._last_line = now
            share = 100 * done / total if total else 0
            self._console.print(f"  {stage:9} {message} {share:.0f} % ({done:.0f}/{total:.0f})  {metrics}")

    def ended(self, stage: str, *, failure: str | None, took: float) -> None:
        self._told.add(stage)
        self._progress.remove_task(self._tasks.pop(stage))
        if failure:
            self._console.print(
                f"[red]✗[/] {stage:9} failed after {duration(took)}: {failure}", highlight=False
            )
        else:
            self._console.print(f"[green]✓[/] {stage:9} {duration(took)}")


def duration(seconds: float) -> str:
    """`4.2s`, `3m12s`, `1h04m`."""
    if seconds < 60:
        return f"{seconds:.1f}s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes:02}m" if hours else f"{minutes}m{rest:02}s"


def _short(digest: str | None) -> str:
    return (digest or "")[:12]
