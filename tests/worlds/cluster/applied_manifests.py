"""Manifests and the API server's answers to them."""

from __future__ import annotations

import copy
from typing import Any

from learntoask.core.json_object import Json

from worlds.cluster.cluster import Answer, Cluster

PLURALS = {"LearnToAskRun": "learntoaskruns", "AskEndpoint": "askendpoints"}
RUN: Json = {"dataset": {"uri": "s3://logs/clinic.jsonl"}, "pack": {"uri": "s3://packs/clinic.yaml"}}
KEY = "0" * 64
MODEL = {"uri": "http://models:8000/v1", "model": "m"}
PRICES = {"prompt": 1, "completion": 2}
ENDPOINT: Json = {"policy": {"run": "clinic"}}


def manifest(kind: str, spec: Json, *, name: str = "tried-out", namespace: str = "default") -> Json:
    metadata = {"name": name, "namespace": namespace}
    return {"apiVersion": "learntoask.io/v1alpha1", "kind": kind, "metadata": metadata, "spec": spec}


def collection(kind: str, namespace: str = "default") -> str:
    return f"/apis/learntoask.io/v1alpha1/namespaces/{namespace}/{PLURALS[kind]}"


def changed(spec: Json, path: str, value: Any) -> Json:
    """A copy of `spec` with `value` at the dotted `path`, whose missing objects are created. None removes the field."""
    result = copy.deepcopy(spec)
    *way, last = path.split(".")
    inner = result
    for name in way:
        inner = inner.setdefault(name, {})
    if value is None:
        del inner[last]
    else:
        inner[last] = value
    return result


def tried(cluster: Cluster, body: Json) -> Answer:
    """The server's answer to a dry run of creating the object, as strict as for kubectl."""
    path = collection(body["kind"], body["metadata"]["namespace"])
    return cluster.request("POST", f"{path}?dryRun=All&fieldValidation=Strict", body)


def stored(cluster: Cluster, body: Json) -> Json:
    """Create the object, and return it as the server stores it."""
    answer = cluster.request(
        "POST", collection(body["kind"], body["metadata"]["namespace"]) + "?fieldValidation=Strict", body
    )
    assert answer.status == 201, answer.message
    return answer.body


def updated(cluster: Cluster, body: Json, *, subresource: str = "") -> Answer:
    """The server's answer to replacing the object by `body`."""
    path = collection(body["kind"], body["metadata"]["namespace"])
    return cluster.request(
        "PUT", f"{path}/{body['metadata']['name']}{subresource}?fieldValidation=Strict", body
    )
