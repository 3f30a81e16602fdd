"""What people say about pods (`PodTemplate`), merged into the pods that the operator makes."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from typing import Any

from learntoask.core.json_object import Json
from learntoask.core.manifest import PodTemplate

_OURS = ("learntoask.io/", "app.kubernetes.io/", "batch.kubernetes.io/")


def overridden(template: Json, override: PodTemplate) -> Json:
    """`template` (a pod template: metadata and spec) with `override` merged into it and its first container.

    Named things (variables, volumes, mounts, amounts, labels) replace those of their name and leave the others;
    tolerations and pull secrets are added. Labels and annotations that the operator works with stay as they are.
    """
    result = copy.deepcopy(template)
    metadata, spec = result.setdefault("metadata", {}), result["spec"]
    container = spec["containers"][0]
    dumped = override.model_dump(mode="json", by_alias=True, exclude_none=True)
    for field in ("labels", "annotations"):
        given = {name: value for name, value in dumped[field].items() if not name.startswith(_OURS)}
        if given:
            metadata[field] = {**metadata.get(field, {}), **given}
    for field in ("image", "imagePullPolicy"):
        if field in dumped:
            container[field] = dumped[field]
    for field in ("priorityClassName", "runtimeClassName", "serviceAccountName"):
        if field in dumped:
            spec[field] = dumped[field]
    container["env"] = _by(container.get("env", ()), dumped["env"], "name")
    container["volumeMounts"] = _by(container.get("volumeMounts", ()), dumped["volumeMounts"], "mountPath")
    spec["volumes"] = _by(spec.get("volumes", ()), dumped["volumes"], "name")
    secrets = [{"name": name} for name in dumped["imagePullSecrets"]]
    for field, added in (("tolerations", dumped["tolerations"]), ("imagePullSecrets", secrets)):
        if added:
            spec[field] = [*spec.get(field, ()), *added]
    for field in ("nodeSelector", "affinity"):
        if dumped[field]:
            spec[field] = {**spec.get(field, {}), **dumped[field]}
    container["resources"] = _amounts(container.get("resources", {}), dumped["resources"])
    if override.writable_root:
        container["securityContext"] = {
            **container.get("securityContext", {}),
            "readOnlyRootFilesystem": False,
        }
    return result


def _by(items: Iterable[Json], given: Iterable[Json], key: str) -> list[Json]:
    named = {item[key]: item for item in items}
    return list({**named, **{item[key]: item for item in given}}.values())


def _amounts(resources: Mapping[str, Any], given: Mapping[str, Any]) -> Json:
    """A limit below what would be requested by default brings the request down with it: a pod with both is refused."""
    limits = {**resources.get("limits", {}), **given["limits"]}
    defaults = {
        name: value for name, value in resources.get("requests", {}).items() if name not in given["limits"]
    }
    requests = {**defaults, **given["requests"]}
    return {name: amounts for name, amounts in (("requests", requests), ("limits", limits)) if amounts}
