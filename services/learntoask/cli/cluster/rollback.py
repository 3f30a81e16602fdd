"""`lta rollback`: an endpoint serves an earlier policy again."""

from __future__ import annotations

from typing import Any

import click

from learntoask.cli.cluster.options import context_option, in_cluster, namespace_option
from learntoask.cluster.rollback import earlier_revision, rollback_patch


@click.command
@click.argument("endpoint", help="Name of the AskEndpoint.")
@click.option("--to", type=int, help="Number of the revision (status.revisions); the one before by default.")
@namespace_option
@context_option
def rollback(endpoint: str, to: int | None, namespace: str | None, context: str | None) -> None:
    """Serve the policy that an endpoint served before. It warms up and takes over as any other revision."""

    async def patch(kube: Any) -> str:
        from learntoask.kube import ENDPOINT  # noqa: PLC0415 - the extra `operator`

        place = namespace or kube.namespace
        body = await kube.get(ENDPOINT, endpoint, namespace=place)
        revision = earlier_revision(body, to)
        await kube.patch(ENDPOINT, endpoint, rollback_patch(body, revision), namespace=place)
        return f"endpoint {endpoint} goes back to the policy of revision {revision.number} ({revision.name})"

    click.echo(in_cluster(patch, context=context))
