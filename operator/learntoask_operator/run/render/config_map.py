"""Renders the manifest that a run's pods read: defaults filled in, and addresses of the operator's own services.

Each content has its own ConfigMap, named by the digest of the content. A new operator or an edited manifest therefore
never changes what a running pod reads.
"""

from __future__ import annotations

import json

from learntoask.core.digest import digest_of
from learntoask.core.json_object import Json
from learntoask.core.manifest import RunSpec
from learntoask.core.pod_contract import RUN_FILE
from learntoask.kube import RUN

from learntoask_operator.ownership import owner_reference
from learntoask_operator.run.labels import child_labels
from learntoask_operator.run.render.services import grader_address, judge_address
from learntoask_operator.settings import Settings


def snapshot(body: Json, spec: RunSpec, settings: Settings) -> Json:
    """The whole manifest of the run `body`; `spec` is its parsed spec."""
    name, namespace = body["metadata"]["name"], body["metadata"]["namespace"]
    # These fields only decide when pods are created, so they must not change the content.
    neutral = spec.model_copy(update={"suspend": False, "ttl": None, "attempts": 3})
    whole = neutral.model_dump(mode="json", by_alias=True)
    given = {
        "uri": settings.store_uri,
        "endpoint": settings.store_endpoint,
        "region": settings.store_region,
    }
    if spec.store.uri is None:
        whole["store"] |= {field: value for field, value in given.items() if value}
    if served := judge_address(spec, run=name, namespace=namespace):
        whole["grader"]["llm"]["endpoint"]["uri"] = served
    if address := grader_address(spec, run=name, namespace=namespace):
        whole["grader"]["address"] = address
    return {
        "apiVersion": body["apiVersion"],
        "kind": body["kind"],
        "metadata": {"name": name, "namespace": namespace},
        "spec": whole,
    }


def config_map(body: Json, spec: RunSpec, settings: Settings) -> Json:
    """The ConfigMap with `snapshot`, named by the digest of the content."""
    content = snapshot(body, spec, settings)
    name, namespace = body["metadata"]["name"], body["metadata"]["namespace"]
    file = RUN_FILE.rpartition("/")[2]
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": f"{name}-config-{digest_of(content)[:8]}",
            "namespace": namespace,
            "labels": child_labels(name, component="configuration"),
            "ownerReferences": [owner_reference(RUN, body)],
        },
        "immutable": True,
        "data": {file: json.dumps(content, separators=(",", ":"), sort_keys=True)},
    }
