"""Flags that the commands for a cluster share, and their connection to it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import click

run_argument = click.argument("run", help="Name of the run.")
namespace_option = click.option(
    "--namespace", "-n", help="Namespace; that of the kubeconfig's context by default."
)
context_option = click.option("--context", help="Context of the kubeconfig.")
store_option = click.option(
    "--store", help="Upload to this s3://bucket/prefix instead of the manifest's store."
)


def in_cluster(do: Callable[[Any], Coroutine[Any, Any, Any]], *, context: str | None) -> Any:
    """Return what `do` returns, which is called with a connection to the cluster of the kubeconfig's context."""
    from learntoask.kube import Kube  # noqa: PLC0415 - the Kubernetes client, of the extra `operator`

    async def connected() -> Any:
        async with Kube.connect(context=context) as kube:
            return await do(kube)

    return asyncio.run(connected())
