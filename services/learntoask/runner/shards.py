"""A stage that several pods share: each computes one shard, and one pod merges all shards into the stage's output."""

from __future__ import annotations

import importlib
from collections.abc import Mapping

from learntoask.core.stages.contract import Merge, Shard, StageContext, StageSummary
from learntoask.core.stages.publication import Publication
from learntoask.runner.materialise import materialise
from learntoask.runner.publishing import call_stage, compute_and_publish, wait_for
from learntoask.runner.run_folder import RunFolder
from learntoask.store.address import StoreAddress
from learntoask.store.factory import open_store
from learntoask.store.unfinished import discard, share_key, unfinished_address

# The stages that can be shared, and the modules that merge their shards.
_MERGES = {"label": "learntoask.labeling.merge"}


def compute_shard(
    context: StageContext, shard: Shard, address: StoreAddress, lineage: Mapping[str, str], folder: RunFolder
) -> Publication | None:
    """Compute `shard`, and merge all shards once they are published. Return None where that is left to another pod.

    The first pod waits for the other shards, so that one pod reports the outcome of the stage. The others end after
    their shard, unless it was the last.
    """
    store, shards = open_store(address), open_store(unfinished_address(address))
    keys = [share_key(context.key, Shard(index=index, count=shard.count)) for index in range(shard.count)]
    if shards.find(keys[shard.index]) is None:

        def compute() -> StageSummary:
            return {**call_stage(context), "of": context.key}

        compute_and_publish(context, shards, compute, lineage, key=keys[shard.index])

    def find() -> list[Publication] | Publication | None:
        """All shards, or the stage's output if another pod has merged them; None while shards are missing."""
        published = [found for key in keys if (found := shards.find(key)) is not None]
        return published if len(published) == len(keys) else store.find(context.key)

    found: list[Publication] | Publication | None = wait_for(context, find) if shard.index == 0 else find()
    if not isinstance(found, list):
        return found
    merge: Merge = importlib.import_module(_MERGES[context.stage]).merge
    folders = [materialise(shards, published, folder.inputs(published.output)) for published in found]
    publication = compute_and_publish(context, store, lambda: merge(context, folders), lineage)
    for published in found:
        discard(shards, published)
    return publication
