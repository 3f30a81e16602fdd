"""`lta stage`: the command of a run's pods, which reads its settings from the pod's environment."""

from __future__ import annotations

import sys

import click


@click.command(hidden=True)
@click.option("--serve-graders", is_flag=True, help="Serve the published graders instead of computing.")
@click.option("--serve-review", is_flag=True, help="Serve the page of a review instead of computing.")
@click.option("--host", default="0.0.0.0", help="With --serve-…: address to listen on.")
@click.option("--port", type=int, default=50052, help="With --serve-…: port to listen on.")
def stage(serve_graders: bool, serve_review: bool, host: str, port: int) -> None:
    """Compute and publish one stage, as the operator's variables say (docs/cluster.md)."""
    if serve_graders:
        from learntoask.pod.graders import serve_graders as serve  # noqa: PLC0415 - grpc

        serve(host=host, port=port)
    elif serve_review:
        from learntoask.pod.review import serve_review as serve  # noqa: PLC0415 - starlette

        serve(host=host, port=port)
    else:
        from learntoask.pod.stage import run_pod  # noqa: PLC0415

        sys.exit(run_pod())
