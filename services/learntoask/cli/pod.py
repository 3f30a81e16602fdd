"""`lta stage`: what the pods of a run execute. Not for people: a pod's variables say everything."""

from __future__ import annotations

import typer

from learntoask.pod.stage import run_pod


def register(app: typer.Typer) -> None:
    app.command(hidden=True)(stage)


def stage() -> None:
    """Compute and publish one stage, as the operator's variables say (docs/cluster.md)."""
    raise typer.Exit(run_pod())
