"""`lta stage`: the command of a run's pods, which reads its settings from the pod's environment."""

from __future__ import annotations

import sys

import click

from learntoask.pod import graders
from learntoask.pod.stage import run_pod


@click.command(hidden=True)
@click.option("--serve-graders", is_flag=True, help="Serve the published graders instead of computing.")
@click.option("--host", default="0.0.0.0", help="With --serve-graders: address to listen on.")
@click.option("--port", type=int, default=50052, help="With --serve-graders: port to listen on.")
def stage(serve_graders: bool, host: str, port: int) -> None:
    """Compute and publish one stage, as the operator's variables say (docs/cluster.md)."""
    if serve_graders:
        graders.serve_graders(host=host, port=port)
    else:
        sys.exit(run_pod())
