"""Lists what may be removed from a store once a run is gone (`spec.artefacts: remove`).

It is a ConfigMap that outlives the run. The operator has no keys of the store and puts no finalizer on runs, so it
cannot remove anything itself: `lta gc --cluster` reads the list and removes what it names.
"""

from __future__ import annotations

from learntoask.core.json_object import Json
from learntoask.core.manifest import RunSpec
from learntoask.core.pod_contract import LTA_STORE
from learntoask.core.stages.gc_candidates import COLLECTABLE, RUN_UID
from learntoask.core.status.run import RunStatus

from learntoask_operator.ownership import MANAGED_BY, MANAGER
from learntoask_operator.render.store import store_environment
from learntoask_operator.settings import Settings


def artefact_list(
    body: Json, spec: RunSpec, before: RunStatus, after: RunStatus, settings: Settings
) -> Json | None:
    """The new list; None if the run keeps its artefacts, or has published nothing since `before`."""
    keys = _published_keys(after)
    if spec.artefacts != "remove" or not keys or keys == _published_keys(before):
        return None
    name, namespace = body["metadata"]["name"], body["metadata"]["namespace"]
    return {
        "metadata": {
            "name": f"{name}-artefacts",
            "namespace": namespace,
            "labels": {MANAGED_BY: MANAGER, COLLECTABLE: name},
            "annotations": {RUN_UID: body["metadata"]["uid"]},
        },
        "data": {"store": store_environment(spec, settings)[LTA_STORE], "keys": "\n".join(sorted(keys))},
    }


def _published_keys(status: RunStatus) -> set[str]:
    return {
        record.key for record in status.stages if record.key and record.output and record.ended == "Published"
    }
