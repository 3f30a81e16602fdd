"""Ties a child to its run or endpoint by labels, which find it, and an owner reference, which proves whose it is."""

from __future__ import annotations

from learntoask.core.json_object import Json
from learntoask.kube import Kind

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
