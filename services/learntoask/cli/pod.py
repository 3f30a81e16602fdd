"""`lta stage`: what the pods of a run execute. Not for people: a pod's variables say everything."""

from __future__ import annotations

from typing import Annotated

import typer

from learntoask.pod.graders import serve_graders
from learntoask.pod.stage import run_pod


def register(app: typer.Typer) -> None:
    app.command(hidden=True)(stage)


def stage(
    serve: Annotated[
        bool, typer.Option("--serve-graders", help="Serve the published graders instead of computing.")
    ] = False,
    host: Annotated[str, typer.Option(help="With --serve-graders: address to listen on.")] = "0.0.0.0",
    port: Annotated[int, typer.Option(help="With --serve-graders: port to listen on.")] = 50052,
) -> None:
    """Compute and publish one stage, as the operator's variables say (docs/cluster.md)."""
    if serve:
        serve_graders(host=host, port=port)
    else:
        raise typer.Exit(run_pod())
