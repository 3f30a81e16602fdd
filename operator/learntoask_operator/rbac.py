"""The rights that the operator needs, with the use of each one. The installed Roles are generated from this list.

A test on a real API server runs the operator with exactly these rights, and fails if one of them is not used.
"""

from __future__ import annotations

from dataclasses import dataclass

from learntoask.core.json_object import Json

RBAC = "rbac.authorization.k8s.io"
NAME = "learntoask-operator"


@dataclass(frozen=True, kw_only=True)
class Right:
    """Verbs on one resource, and what the operator uses them for."""

    group: str
    resource: str
    verbs: tuple[str, ...]
    use: str


WATCHED = (
    Right(
        group="learntoask.io",
        resource="learntoaskruns",
        verbs=("get", "list", "watch"),
        use="the runs to reconcile",
    ),
    Right(group="learntoask.io", resource="learntoaskruns", verbs=("delete",), use="spec.ttl"),
    Right(group="learntoask.io", resource="learntoaskruns/status", verbs=("patch",), use="status of runs"),
    Right(
        group="learntoask.io",
        resource="askendpoints",
        verbs=("list", "watch"),
        use="the endpoints to reconcile",
    ),
    Right(
        group="learntoask.io", resource="askendpoints", verbs=("create", "patch"), use="a run's serve stage"
    ),
    Right(group="learntoask.io", resource="askendpoints/status", verbs=("patch",), use="status of endpoints"),
    Right(group="batch", resource="jobs", verbs=("create", "delete", "get", "list", "watch"), use="stages"),
    Right(
        group="", resource="pods", verbs=("list", "watch"), use="termination messages of stages and servers"
    ),
    Right(
        group="",
        resource="configmaps",
        verbs=("create", "get", "list", "watch"),
        use="the manifest that pods read, made again if it is deleted",
    ),
    Right(
        group="",
        resource="configmaps",
        verbs=("delete", "patch"),
        use="spec.artefacts, and the rollouts that gateways follow, which end",
    ),
    Right(
        group="apps",
        resource="deployments",
        verbs=("create", "delete", "get", "list", "patch", "watch"),
        use="policy servers, gateways, graders and judges",
    ),
    Right(
        group="",
        resource="services",
        verbs=("create", "delete", "get", "list", "patch", "watch"),
        use="names for these servers, made again if they are deleted",
    ),
    Right(
        group="policy",
        resource="poddisruptionbudgets",
        verbs=("create", "get", "list", "patch", "watch"),
        use="at most one server is evicted at once",
    ),
    Right(
        group="autoscaling",
        resource="horizontalpodautoscalers",
        verbs=("create", "delete", "get", "list", "patch", "watch"),
        use="spec.autoscaling and spec.gateway.autoscaling",
    ),
    Right(group="", resource="events", verbs=("create",), use="what kubectl describe shows"),
    Right(group="", resource="events", verbs=("list", "watch"), use="why pods do not start"),
)
"""Rights in every namespace that the operator watches."""

SELECTING = (Right(group="", resource="namespaces", verbs=("list", "watch"), use="namespaces by label"),)
"""Rights in the whole cluster of an operator that serves the namespaces with a label."""

OWN = (
    Right(
        group="coordination.k8s.io",
        resource="leases",
        verbs=("create", "get", "update"),
        use="leader election",
    ),
    Right(group="", resource="pods", verbs=("list", "patch"), use="the leader label"),
)
"""Rights in the namespace of the operator itself."""


def rules(rights: tuple[Right, ...]) -> list[Json]:
    """The rules of a Role: one for each resource, with all its verbs."""
    verbs: dict[tuple[str, str], list[str]] = {}
    for right in rights:
        verbs.setdefault((right.group, right.resource), []).extend(right.verbs)
    return [
        {"apiGroups": [group], "resources": [resource], "verbs": sorted(found)}
        for (group, resource), found in verbs.items()
    ]


def role(name: str, rights: tuple[Right, ...], *, namespace: str | None) -> Json:
    """A Role in `namespace`, or a ClusterRole if it is None."""
    metadata = {"name": name, **({"namespace": namespace} if namespace else {})}
    kind = "Role" if namespace else "ClusterRole"
    return {"apiVersion": f"{RBAC}/v1", "kind": kind, "metadata": metadata, "rules": rules(rights)}


def binding(name: str, *, account: tuple[str, str], namespace: str | None) -> Json:
    """A binding of the role `name`, of the same scope, to the service account `account` (namespace, name)."""
    kind = "Role" if namespace else "ClusterRole"
    metadata = {"name": name, **({"namespace": namespace} if namespace else {})}
    return {
        "apiVersion": f"{RBAC}/v1",
        "kind": f"{kind}Binding",
        "metadata": metadata,
        "roleRef": {"apiGroup": RBAC, "kind": kind, "name": name},
        "subjects": [{"kind": "ServiceAccount", "namespace": account[0], "name": account[1]}],
    }


def rbac_objects(
    *, account: tuple[str, str], watched: tuple[str, ...], selecting: bool = False
) -> list[Json]:
    """All roles and bindings of an operator that watches the namespaces `watched`, or the whole cluster if there are
    none; `selecting`: those of the cluster that have a label."""
    own = f"{NAME}-own"
    objects = [role(own, OWN, namespace=account[0]), binding(own, account=account, namespace=account[0])]
    for namespace in watched or (None,):
        objects += [
            role(NAME, WATCHED + SELECTING if selecting else WATCHED, namespace=namespace),
            binding(NAME, account=account, namespace=namespace),
        ]
    return objects
