"""Progress for a person: bars on a terminal, plain lines in a log; both with the remaining time."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any, Self

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

from learntoask.core.stages.planner import Plan
from learntoask.local.estimate import announcement
from learntoask.progress.remaining_time import RemainingTime

_LOG_INTERVAL = 15.0  # seconds between two lines in a log


class StepDisplay:
    """Progress of work in this process; implements core.stages.contract.Progress."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._remaining = RemainingTime()
        self._last_line = 0.0
        self._task: TaskID | None = None
        self._step = ""
        self._progress = Progress(
            SpinnerColumn(),
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

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._progress.stop()

    def update(self, done: float, total: float, message: str = "", **metrics: float) -> None:
        shown = "  ".join(f"{name} {value:.4g}" for name, value in metrics.items())
        remaining = self._remaining.remaining(done, total, message)
        if not self._console.is_terminal:
            self._log(done, total, message, remaining, shown)
            return
        if message != self._step or self._task is None:
            self.clear()  # every step has its own bar, whose remaining time begins with it
            self._step = message
            self._task = self._progress.add_task(message, total=total, metrics=shown)
        self._progress.update(self._task, completed=done, total=total, metrics=shown)

    def _log(self, done: float, total: float, message: str, remaining: float | None, shown: str) -> None:
        now = time.monotonic()
        if not total or now - self._last_line < _LOG_INTERVAL:
            return
        self._last_line = now
        left = f", {duration(remaining)} left" if remaining is not None else ""
        self._console.print(
            f"  {message} {100 * done / total:.0f} % ({done:.0f}/{total:.0f}){left}  {shown}".rstrip()
        )

    def clear(self) -> None:
        """Remove the bar of the present step."""
        if self._task is not None:
            self._progress.remove_task(self._task)
            self._task = None


class RunDisplay(StepDisplay):
    """Progress of a run whose stages are processes; implements local.executor.Display.

    `expected` holds the estimated seconds of stages, for the sentence before the first one starts.
    """

    def __init__(self, console: Console, *, expected: Mapping[str, float] | None = None) -> None:
        super().__init__(console)
        self._expected = expected
        self._reported: set[str] = set()

    def planned(self, plan: Plan) -> None:
        if self._expected is not None:
            self._console.print(announcement(plan, self._expected), markup=False, end="")
            self._expected = None
        for status in plan.stages:
            if status.state == "Published" and status.name not in self._reported:
                self._reported.add(status.name)
                short = (status.output or "")[:12]
                self._console.print(f"[green]✓[/] {status.name:9} unchanged, taken from the store ({short})")
            if status.state == "Reviewing":
                self._show_review(status.message)
            if status.state == "Retrying" and f"{status.name}/{status.attempt}" not in self._reported:
                self._reported.add(f"{status.name}/{status.attempt}")
                self._console.print(
                    f"[yellow]↻[/] {status.name:9} is tried again (attempt {status.attempt + 1})"
                )

    def _show_review(self, message: str) -> None:
        """Say once what is needed, and then, on a terminal, how much is still missing."""
        if "review" not in self._reported:
            self._reported.add("review")
            self._console.print(f"[yellow]…[/] {'review':9} {message}", highlight=False)
        self.update(0, 0, f"review: {message}")

    def waiting(self, stage: str) -> None:
        """Another run computes the stage."""
        self.clear()
        self._console.print(f"… {stage:9} another run computes the same output, which is then used here, too")

    def started(self, stage: str, attempt: int) -> None:
        again = f" (attempt {attempt})" if attempt > 1 else ""
        if not self._console.is_terminal:
            self._console.print(f"→ {stage:9} started{again}")
        self.update(0, 0, f"{stage}: starting{again}")

    def progressed(self, stage: str, progress: dict[str, Any]) -> None:
        self.update(
            progress["done"], progress["total"], f"{stage}: {progress['message']}", **progress["metrics"]
        )

    def stopped(self, stage: str) -> None:
        self.clear()
        self._console.print(f"[yellow]■[/] {stage:9} stopped")

    def ended(self, stage: str, *, failure: str | None, took: float, warnings: Sequence[str] = ()) -> None:
        self._reported.add(stage)
        self.clear()
        if failure:
            self._console.print(f"[red]✗[/] {stage:9} failed after {duration(took)}:", end=" ")
            self._console.print(failure, markup=False)
        else:
            self._console.print(f"[green]✓[/] {stage:9} {duration(took)}")
        for warning in warnings:
            self._console.print(f"  warning: {warning}", markup=False, style="yellow")


def duration(seconds: float) -> str:
    """Format seconds as `4.2s`, `3m12s` or `1h04m`."""
    if seconds < 60:
        return f"{seconds:.1f}s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes:02}m" if hours else f"{minutes}m{rest:02}s"
