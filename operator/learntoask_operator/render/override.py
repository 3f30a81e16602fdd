"""Merges the users' pod settings (`PodTemplate`) into the pod templates of the operator."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from typing import Any

from learntoask.core.json_object import Json
from learntoask.core.manifest import PodTemplate
from learntoask.core.pod_contract import LABEL_PREFIX

_POD_FIELDS = (
    "dnsConfig",
    "dnsPolicy",
    "priorityClassName",
    "runtimeClassName",
    "schedulerName",
    "serviceAccountName",
    "topologySpreadConstraints",
)
_RESERVED = (LABEL_PREFIX, "app.kubernetes.io/", "batch.kubernetes.io/")


def override_template(template: Json, override: PodTemplate) -> Json:
    """A copy of the pod template `template` with `override` merged into its metadata, spec and first container.

    Variables, volumes, mounts, init containers, resource amounts, claims and labels replace those of the same name.
    Tolerations, pull secrets and sources of variables are added. Labels and annotations that the operator relies on are
    never replaced.
    """
    result = copy.deepcopy(template)
    metadata, spec = result.setdefault("metadata", {}), result["spec"]
    container = spec["containers"][0]
    dumped = override.model_dump(mode="json", by_alias=True, exclude_none=True)
    for field in ("labels", "annotations"):
        given = {name: value for name, value in dumped[field].items() if not name.startswith(_RESERVED)}
        if given:
            metadata[field] = {**metadata.get(field, {}), **given}
    for field in ("image", "imagePullPolicy"):
        if field in dumped:
            container[field] = dumped[field]
    for field in _POD_FIELDS:
        if dumped.get(field):
            spec[field] = dumped[field]
    _add_init_containers(spec, dumped["initContainers"], container["securityContext"])
    _merge_into(container, "env", dumped["env"], "name")
    _merge_into(container, "volumeMounts", dumped["volumeMounts"], "mountPath")
    _merge_into(spec, "volumes", dumped["volumes"], "name")
    _merge_into(spec, "resourceClaims", dumped["resourceClaims"], "name")
    if dumped["envFrom"]:
        container["envFrom"] = [*container.get("envFrom", ()), *dumped["envFrom"]]
    secrets = [{"name": name} for name in dumped["imagePullSecrets"]]
    for field, added in (("tolerations", dumped["tolerations"]), ("imagePullSecrets", secrets)):
        if added:
            spec[field] = [*spec.get(field, ()), *added]
    for field in ("nodeSelector", "affinity"):
        if dumped[field]:
            spec[field] = {**spec.get(field, {}), **dumped[field]}
    container["resources"] = _resources(container.get("resources", {}), dumped["resources"])
    if override.writable_root:
        container["securityContext"] = {
            **container.get("securityContext", {}),
            "readOnlyRootFilesystem": False,
        }
    return result


def _add_init_containers(spec: Json, given: Iterable[Json], security: Json) -> None:
    """Add init containers to a pod, by default with the security context of its own container."""
    if given:
        secured = [{"securityContext": dict(security), **container} for container in given]
        _merge_into(spec, "initContainers", secured, "name")


def _merge_into(target: Json, field: str, given: Iterable[Json], key: str) -> None:
    """Merge the list `given` into a field of `target`, which stays as it is if there is nothing to merge."""
    if given:
        target[field] = _merge_by(target.get(field, ()), given, key)


def _merge_by(items: Iterable[Json], given: Iterable[Json], key: str) -> list[Json]:
    """`items` with those of `given`, which replace items with the same `key`."""
    named = {item[key]: item for item in items}
    return list({**named, **{item[key]: item for item in given}}.values())


def _resources(resources: Mapping[str, Any], given: Mapping[str, Any]) -> Json:
    """`resources` with the `given` amounts and claims. A given limit removes the default request, because the API
    server refuses a pod whose request is above its limit."""
    limits = {**resources.get("limits", {}), **given["limits"]}
    defaults = {
        name: value for name, value in resources.get("requests", {}).items() if name not in given["limits"]
    }
    requests = {**defaults, **given["requests"]}
    claims = _merge_by(resources.get("claims", ()), given["claims"], "name")
    merged = {"requests": requests, "limits": limits, "claims": claims}
    return {name: amounts for name, amounts in merged.items() if amounts}
