"""`lta rollback`: an endpoint's earlier policy again."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from learntoask.cli.cluster.runs import Context, Namespace, in_cluster
from learntoask.cluster.rollback import earlier, rolled_back


def register(app: typer.Typer) -> None:
    app.command()(rollback)


def rollback(
    endpoint: Annotated[str, typer.Argument(help="Name of the AskEndpoint.")],
    to: Annotated[
        int | None, typer.Option(help="Number of the revision (status.revisions); the one before by default.")
    ] = None,
    namespace: Namespace = None,
    context: Context = None,
) -> None:
    """Serve the policy that an endpoint served before; it warms up and takes over as any other."""

    async def patched(kube: Any) -> str:
        from learntoask.kube import ENDPOINT  # noqa: PLC0415 - the Kubernetes client

        place = namespace or kube.namespace
        body = await kube.get(ENDPOINT, endpoint, namespace=place)
        revision = earlier(body, to)
        await kube.patch(ENDPOINT, endpoint, rolled_back(body, revision), namespace=place)
        return f"endpoint {endpoint} goes back to the policy of revision {revision.number} ({revision.name})"

    typer.echo(in_cluster(patched, context=context))
