"""Reads for `lta gc` which artefacts deleted runs left (`spec.artefacts: remove`), as listed by the operator."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from learntoask.cli.cluster.options import in_cluster
from learntoask.core.json_object import Json
from learntoask.core.stages.gc_candidates import COLLECTABLE, keys_of, orphaned_lists, unneeded_keys


def find_unneeded(
    store: str, *, namespaces: Sequence[str | None], context: str | None
) -> tuple[list[Json], set[str]]:
    """Return the lists of deleted runs that published to `store`, and the keys in them that no run or endpoint in
    `namespaces` uses (None: in all namespaces)."""
    from learntoask.kube import CONFIG_MAP, ENDPOINT, RUN  # noqa: PLC0415 - the extra `operator`

    async def read(kube: Any) -> tuple[list[Json], set[str]]:
        async def list_all(kind: Any, labels: str | None = None) -> list[Json]:
            found = [await kube.list(kind, namespace=name, labels=labels) for name in namespaces]
            return [item for items in found for item in items]

        # The lists are read first, so that a run that begins meanwhile is among those that use what it found.
        lists, runs = await list_all(CONFIG_MAP, COLLECTABLE), await list_all(RUN)
        deleted = orphaned_lists(lists, runs, store=store)
        return deleted, unneeded_keys(deleted, [*runs, *await list_all(ENDPOINT)])

    found: tuple[list[Json], set[str]] = in_cluster(read, context=context)
    return found


def delete_finished_lists(lists: list[Json], *, remaining: set[str], context: str | None) -> None:
    """Delete the lists that have no key in `remaining`, the keys that the store still has."""
    from learntoask.kube import CONFIG_MAP  # noqa: PLC0415

    async def delete(kube: Any) -> None:
        for item in lists:
            if not keys_of(item) & remaining:
                metadata = item["metadata"]
                await kube.delete(
                    CONFIG_MAP, metadata["name"], namespace=metadata["namespace"], uid=metadata["uid"]
                )

    in_cluster(delete, context=context)
