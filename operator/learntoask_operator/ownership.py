"""Ties a child to its run or endpoint by labels, which find it, and an owner reference, which proves whose it is.

It also words what keeps a child from existing: somebody else's object of its name, and a refusal of the API server.
"""

from __future__ import annotations

from learntoask.core.json_object import Json
from learntoask.kube import Kind, KubeError

MANAGED_BY, MANAGER = "app.kubernetes.io/managed-by", "learntoask-operator"
PART_OF, PRODUCT = "app.kubernetes.io/part-of", "learntoask"
COMPONENT = "app.kubernetes.io/component"


def common_labels(component: str) -> dict[str, str]:
    """Labels of every child, by which the operator's watches select them at the API server."""
    return {MANAGED_BY: MANAGER, PART_OF: PRODUCT, COMPONENT: component}


def owner_reference(kind: Kind, body: Json) -> Json:
    """The reference that makes Kubernetes delete a child together with the object `body`.

    It does not block the owner's deletion, because that would take a right to finalizers.
    """
    return {
        "apiVersion": kind.api_version,
        "kind": kind.kind,
        "name": body["metadata"]["name"],
        "uid": body["metadata"]["uid"],
        "controller": True,
        "blockOwnerDeletion": False,
    }


def is_owned_by(child: Json, uid: str) -> bool:
    """Whether the object with `uid` controls `child`. Labels prove nothing, because any client can set them."""
    owners = child["metadata"].get("ownerReferences") or ()
    return any(owner.get("uid") == uid and owner.get("controller") for owner in owners)


def is_deleting(child: Json) -> bool:
    """Whether Kubernetes was asked to delete `child`, which still exists."""
    return bool(child["metadata"].get("deletionTimestamp"))


def foreign_message(kind: Kind, body: Json, owner: str) -> str:
    """What to do about an object with the name of the child `body` that does not belong to the `owner`, which is "run"
    or "endpoint"."""
    name = body["metadata"]["name"]
    return f"{kind.kind} {name} exists and does not belong to this {owner}; rename or delete it"


def refused_message(kind: Kind, body: Json, error: KubeError) -> str:
    """Why the API server refuses the child `body`."""
    return f"{kind.kind} {body['metadata']['name']} is refused by the API server: {error}"
