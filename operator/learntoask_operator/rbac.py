"""The rights that the operator needs, each with its use: the one source of the Roles that are installed.

A test on a real API server runs the operator under exactly these, and fails where one of them is not used.
"""

from __future__ import annotations

from dataclasses import dataclass

from learntoask.core.json_object import Json

RBAC = "rbac.authorization.k8s.io"
NAME = "learntoask-operator"


@dataclass(frozen=True, kw_only=True)
class Right:
    group: str
    resource: str
    verbs: tuple[str, ...]
    use: str


WATCHED = (
    Right(
        group="learntoask.io",
        resource="learntoaskruns",
        verbs=("get", "list", "watch"),
        use="what is to be run",
    ),
    Right(group="learntoask.io", resource="learntoaskruns", verbs=("delete",), use="spec.ttl"),
    Right(group="learntoask.io", resource="learntoaskruns/status", verbs=("patch",), use="how a run goes"),
    Right(
        group="learntoask.io", resource="askendpoints", verbs=("list", "watch"), use="what is to be served"
    ),
    Right(
        group="learntoask.io", resource="askendpoints", verbs=("create", "patch"), use="a run's serve stage"
    ),
    Right(group="learntoask.io", resource="askendpoints/status", verbs=("patch",), use="how serving goes"),
    Right(group="batch", resource="jobs", verbs=("create", "delete", "get", "list", "watch"), use="stages"),
    Right(
        group="", resource="pods", verbs=("list", "watch"), use="how stages and servers end, in their words"
    ),
    Right(group="", resource="configmaps", verbs=("create", "get"), use="the manifest as pods see it"),
    Right(group="", resource="configmaps", verbs=("patch",), use="spec.artefacts"),
    Right(
        group="apps",
        resource="deployments",
        verbs=("create", "delete", "get", "list", "patch", "watch"),
        use="policy servers, gateways, graders and judges",
    ),
    Right(
        group="", resource="services", verbs=("create", "delete", "get", "patch"), use="how they are found"
    ),
    Right(
        group="policy",
        resource="poddisruptionbudgets",
        verbs=("create", "get", "patch"),
        use="servers that stay",
    ),
    Right(
        group="autoscaling",
        resource="horizontalpodautoscalers",
        verbs=("create", "delete", "get", "patch"),
        use="spec.autoscaling",
    ),
    Right(group="", resource="events", verbs=("create",), use="what kubectl describe shows"),
)
"""In every namespace that is watched."""

OWN = (
    Right(
        group="coordination.k8s.io",
        resource="leases",
        verbs=("create", "get", "update"),
        use="which replica acts",
    ),
    Right(group="", resource="pods", verbs=("list", "patch"), use="the label of the pod that acts"),
)
"""In the operator's own namespace."""


def rules(rights: tuple[Right, ...]) -> list[Json]:
    """As in a Role: the verbs of a resource together."""
    verbs: dict[tuple[str, str], list[str]] = {}
    for right in rights:
        verbs.setdefault((right.group, right.resource), []).extend(right.verbs)
    return [
        {"apiGroups": [group], "resources": [resource], "verbs": sorted(found)}
        for (group, resource), found in verbs.items()
    ]


def role(name: str, rights: tuple[Right, ...], *, namespace: str | None) -> Json:
    """A Role of `namespace`, or a ClusterRole without one."""
    metadata = {"name": name, **({"namespace": namespace} if namespace else {})}
    kind = "Role" if namespace else "ClusterRole"
    return {"apiVersion": f"{RBAC}/v1", "kind": kind, "metadata": metadata, "rules": rules(rights)}


def binding(name: str, *, account: tuple[str, str], namespace: str | None) -> Json:
    """Binds the role `name` of the same scope to the service account (namespace, name)."""
    kind = "Role" if namespace else "ClusterRole"
    metadata = {"name": name, **({"namespace": namespace} if namespace else {})}
    return {
        "apiVersion": f"{RBAC}/v1",
        "kind": f"{kind}Binding",
        "metadata": metadata,
        "roleRef": {"apiGroup": RBAC, "kind": kind, "name": name},
        "subjects": [{"kind": "ServiceAccount", "namespace": account[0], "name": account[1]}],
    }


def installed(*, account: tuple[str, str], watched: tuple[str, ...]) -> list[Json]:
    """All roles and bindings of an operator that watches the namespaces `watched`, or the cluster when there are
    none."""
    own = f"{NAME}-own"
    objects = [role(own, OWN, namespace=account[0]), binding(own, account=account, namespace=account[0])]
    for namespace in watched or (None,):
        objects += [
            role(NAME, WATCHED, namespace=namespace),
            binding(NAME, account=account, namespace=namespace),
        ]
    return objects
