"""`Kube`: the calls of the Kubernetes API that this project uses. Objects are plain dicts."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from learntoask.core.json_object import Json
from learntoask.kube.access import ClusterAccess, find_access
from learntoask.kube.errors import Expired, NotFound, kube_error
from learntoask.kube.kinds import POD, Kind
from learntoask.kube.transport import DEADLINE, JSON, CallObserver, Transport

_PAGE = 250  # objects per page; bounds the memory for lists of thousands
_METADATA_OF_LIST = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
_METADATA = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
_WATCH_TIME = 290  # seconds after which the server ends a watch; the next one continues from there


@dataclass(frozen=True, kw_only=True)
class Listing:
    """A list of objects. A watch of their later changes starts at `resource_version`."""

    items: list[Json]
    resource_version: str


class Kube:
    """A client of one API server.

    Every call ends within its deadline (seconds) and raises KubeError (see kube.errors). Writes are strict: a field
    that the server does not know is an error and is not dropped silently.
    """

    def __init__(self, access: ClusterAccess, transport: Transport, *, field_manager: str) -> None:
        self.access = access
        self._transport, self._manager = transport, field_manager

    @classmethod
    @asynccontextmanager
    async def connect(
        cls,
        *,
        kubeconfig: Path | None = None,
        context: str | None = None,
        field_manager: str = "lta",
        called: CallObserver | None = None,
    ) -> AsyncIterator[Kube]:
        """Connect with `kubeconfig`, KUBECONFIG, the service account of this pod or ~/.kube/config, in this order.

        `field_manager` is the owner of the fields that this client writes; `called` observes all HTTP calls.
        """
        access = await find_access(kubeconfig=kubeconfig, context=context)
        transport = Transport(access, called=called)
        try:
            yield cls(access, transport, field_manager=field_manager)
        finally:
            await transport.close()

    @property
    def namespace(self) -> str:
        """The namespace of the context in the kubeconfig, or of this pod."""
        return self.access.namespace

    async def get(
        self, kind: Kind, name: str, *, namespace: str | None = None, deadline: float = DEADLINE
    ) -> Json:
        """Return the object. Raises NotFound."""
        return await self._transport.call("GET", kind.path(namespace=namespace, name=name), deadline=deadline)

    async def find(self, kind: Kind, name: str, *, namespace: str | None = None) -> Json | None:
        """Return the object, or None if it does not exist."""
        with suppress(NotFound):
            return await self.get(kind, name, namespace=namespace)
        return None

    async def list(
        self,
        kind: Kind,
        *,
        namespace: str | None = None,
        labels: str | None = None,
        fields: str | None = None,
    ) -> list[Json]:
        """Return the objects of a namespace, or of all namespaces; `labels` and `fields` are selectors (`a=b,c!=d`)."""
        return (await self.listing(kind, namespace=namespace, labels=labels, fields=fields)).items

    async def listing(
        self,
        kind: Kind,
        *,
        namespace: str | None = None,
        labels: str | None = None,
        fields: str | None = None,
        metadata_only: bool = False,
    ) -> Listing:
        """Return the objects like `list`, with the version at which a watch continues; with `metadata_only` the server
        sends nothing but their metadata."""
        items: list[Json] = []
        query = {"limit": str(_PAGE), **_selectors(labels, fields)}
        accept = _METADATA_OF_LIST if metadata_only else JSON
        while True:
            path = kind.path(namespace=namespace)
            page = await self._transport.call("GET", path, query=query, accept=accept)
            for item in (
                page["items"] or ()
            ):  # null in an empty list of metadata; items have no apiVersion and kind
                items.append({**item, "apiVersion": kind.api_version, "kind": kind.kind})
            following = page["metadata"].get("continue")
            if not following:
                return Listing(items=items, resource_version=page["metadata"]["resourceVersion"])
            query["continue"] = following

    async def create(self, kind: Kind, body: Json, *, deadline: float = DEADLINE) -> Json:
        """Create the object and return it as stored. Raises AlreadyExists."""
        path = kind.path(namespace=body["metadata"].get("namespace"))
        return await self._transport.call(
            "POST", path, query=self._write_query(), body=body, deadline=deadline
        )

    async def apply(self, kind: Kind, body: Json, *, force: bool = True, manager: str | None = None) -> Json:
        """Apply `body` (server-side apply) and return the object.

        The fields in `body` are set and owned by this client. Fields that this client set before and that `body` lacks
        are removed, and all other fields stay. Without `force`, a field to which another owner gave another value is a
        Conflict. `manager` is the owner in place of this client.
        """
        metadata = body["metadata"]
        path = kind.path(namespace=metadata.get("namespace"), name=metadata["name"])
        query = {**self._write_query(manager), "force": "true" if force else "false"}
        whole = {"apiVersion": kind.api_version, "kind": kind.kind, **body}
        return await self._transport.call(
            "PATCH", path, query=query, body=whole, content_type="application/apply-patch+yaml"
        )

    async def patch(
        self, kind: Kind, name: str, patch: Json, *, namespace: str | None = None, subresource: str = ""
    ) -> Json:
        """Apply a merge patch (RFC 7386), in which null removes a field and lists are replaced."""
        path = kind.path(namespace=namespace, name=name, subresource=subresource)
        return await self._transport.call(
            "PATCH", path, query=self._write_query(), body=patch, content_type="application/merge-patch+json"
        )

    async def patch_status(
        self,
        kind: Kind,
        name: str,
        status: Json,
        *,
        namespace: str | None = None,
        resource_version: str | None = None,
    ) -> Json:
        """Merge `status` into the status of the object. With `resource_version`, another current version is a
        Conflict."""
        body: Json = {"status": status}
        if resource_version is not None:
            body["metadata"] = {"resourceVersion": resource_version}
        return await self.patch(kind, name, body, namespace=namespace, subresource="status")

    async def replace(self, kind: Kind, body: Json, *, deadline: float = DEADLINE) -> Json:
        """Replace the object by `body`. Raises Conflict if the resourceVersion in `body` is not the current one."""
        metadata = body["metadata"]
        path = kind.path(namespace=metadata.get("namespace"), name=metadata["name"])
        return await self._transport.call(
            "PUT", path, query=self._write_query(), body=body, deadline=deadline
        )

    async def delete(
        self,
        kind: Kind,
        name: str,
        *,
        namespace: str | None = None,
        propagation: Literal["Background", "Foreground", "Orphan"] = "Background",
        uid: str | None = None,
    ) -> None:
        """Delete the object, and its children according to `propagation`.

        With `uid`, an object of the same name with another uid is a Conflict. Raises NotFound if it does not exist.
        """
        body: Json = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": propagation}
        if uid is not None:
            body["preconditions"] = {"uid": uid}
        await self._transport.call("DELETE", kind.path(namespace=namespace, name=name), body=body)

    async def watch(
        self,
        kind: Kind,
        *,
        resource_version: str,
        namespace: str | None = None,
        labels: str | None = None,
        fields: str | None = None,
        metadata_only: bool = False,
    ) -> AsyncIterator[tuple[str, Json]]:
        """Iterate over the changes after `resource_version` until the server ends the watch.

        A change is a pair of its type (ADDED, MODIFIED, DELETED or BOOKMARK) and the object. Raises Expired if the
        server does not know `resource_version` any more.
        """
        query = {
            "watch": "true",
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(_WATCH_TIME),
            "resourceVersion": resource_version,
            **_selectors(labels, fields),
        }
        path = kind.path(namespace=namespace)
        accept = _METADATA if metadata_only else JSON
        async for line in self._transport.lines(path, query=query, accept=accept, silence=_WATCH_TIME + 10):
            if not line:
                continue
            change = json.loads(line)
            if change["type"] == "ERROR":
                status = change["object"]
                error = kube_error(int(status.get("code") or 500), status, what=f"watch {path}")
                raise Expired(str(error), status=410) if status.get("reason") == "Expired" else error
            yield change["type"], change["object"]

    async def logs(
        self,
        pod: str,
        *,
        namespace: str | None = None,
        container: str | None = None,
        tail: int | None = None,
        follow: bool = False,
        previous: bool = False,
    ) -> AsyncIterator[str]:
        """Iterate over the lines that the container printed; with `follow` until it ends.

        `tail` is the number of last lines to return. With `previous` the log is that of the container before its
        restart.
        """
        query = {"follow": "true"} if follow else {}
        if container is not None:
            query["container"] = container
        if tail is not None:
            query["tailLines"] = str(tail)
        if previous:
            query["previous"] = "true"
        path = POD.path(namespace=namespace, name=pod, subresource="log")
        # A stage may print nothing for a long time, but without any limit a lost connection would never be noticed.
        async for line in self._transport.lines(path, query=query, silence=3600 if follow else DEADLINE):
            yield line.decode(errors="replace")

    async def server_keys(self) -> Json:
        """Return the keys (JWKS) that the server signs service account tokens with."""
        return await self._transport.call("GET", "/openid/v1/jwks")

    def _write_query(self, manager: str | None = None) -> dict[str, str]:
        return {"fieldManager": manager or self._manager, "fieldValidation": "Strict"}


def _selectors(labels: str | None, fields: str | None) -> dict[str, str]:
    given = {"labelSelector": labels, "fieldSelector": fields}
    return {name: value for name, value in given.items() if value}
