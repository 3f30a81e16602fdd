"""What may be collected of a store once a run is gone (`spec.artefacts: remove`): a ConfigMap that outlives it. Pure.

The operator has no keys of the store and puts no finalizer on runs, so it removes nothing itself: it leaves a list that
`lta gc --cluster` acts on, when the run is there no more.
"""

from __future__ import annotations

from learntoask.core.json_object import Json
from learntoask.core.manifest import RunSpec
from learntoask.core.stages.gc_candidates import COLLECTABLE, RUN_UID
from learntoask.core.status.run import RunStatus

from learntoask_operator.cache.children import MANAGED_BY, MANAGER
from learntoask_operator.render.store import store_environment
from learntoask_operator.settings import Settings


def collectable(
    body: Json, spec: RunSpec, before: RunStatus, after: RunStatus, settings: Settings
) -> Json | None:
    """The list as it is to be; None when the run keeps its artefacts, or has published nothing since `before`."""
    keys = _published(after)
    if spec.artefacts != "remove" or not keys or keys == _published(before):
        return None
    name, namespace = body["metadata"]["name"], body["metadata"]["namespace"]
    return {
        "metadata": {
            "name": f"{name}-artefacts",
            "namespace": namespace,
            "labels": {MANAGED_BY: MANAGER, COLLECTABLE: name},
            "annotations": {RUN_UID: body["metadata"]["uid"]},
        },
        "data": {"store": store_environment(spec, settings)["LTA_STORE"], "keys": "\n".join(sorted(keys))},
    }


def _published(status: RunStatus) -> set[str]:
    return {one.key for one in status.stages if one.key and one.output and one.ended == "Published"}
