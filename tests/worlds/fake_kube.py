"""A fake of `Kube` with an API server in memory: names, uids, versions, preconditions and refusals as in the real one.

Changes are queued in `events`; the test delivers them when it wants.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable
from typing import Any

from learntoask.core.json_object import Json
from learntoask.kube import DEPLOYMENT, ENDPOINT, JOB, POD, RUN, AlreadyExists, Conflict, Kind, NotFound

Key = tuple[Kind, str, str]


class Crashed(BaseException):
    """The operator was killed in the middle of a reconcile."""


class FakeKube:
    """A fake API server. `writes` lists all writes. After `crash_after` further writes the operator crashes."""

    def __init__(self, now: Callable[[], float]) -> None:
        self.objects: dict[Key, Json] = {}
        self.events: list[tuple[str, Kind, Json]] = []
        self.writes: list[str] = []
        self.crash_after: int | None = None
        self.refuse: Callable[[str, Kind], Exception | None] = lambda verb, kind: None
        self._shared: set[Key] = set()  # Deployments whose number of pods has another owner than the operator
        self._now, self._versions, self._uids = now, itertools.count(1), itertools.count(1)

    # --- the interface of Kube ---
    async def get(self, kind: Kind, name: str, *, namespace: str | None = None, deadline: float = 0) -> Json:
        found = await self.find(kind, name, namespace=namespace)
        if found is None:
            raise NotFound(f"{kind.plural} {name} not found", status=404)
        return found

    async def find(self, kind: Kind, name: str, *, namespace: str | None = None) -> Json | None:
        found = self.objects.get((kind, namespace or "", name))
        return copy.deepcopy(found)

    async def create(self, kind: Kind, body: Json, *, deadline: float = 0) -> Json:
        self._check_refusal("create", kind)
        key = (kind, body["metadata"]["namespace"], body["metadata"]["name"])
        if key in self.objects:
            raise AlreadyExists(f"{key[2]} already exists", status=409)
        made = self.put(kind, body)
        self._record_write("create", kind)
        return made

    async def apply(self, kind: Kind, body: Json, *, force: bool = True, manager: str | None = None) -> Json:
        self._check_refusal("apply", kind)
        key = (kind, body["metadata"]["namespace"], body["metadata"]["name"])
        before = self.objects.get(key)
        if before and not force and before["metadata"].get("annotations", {}).get("test/owner") == "people":
            raise Conflict('conflict with "kubectl"', status=409)
        if manager:
            self._shared.add(key)
            body = {**body, "spec": {**(before or {}).get("spec", {}), **body["spec"]}}
        elif kind == DEPLOYMENT:
            own = before["spec"]["replicas"] if before and key in self._shared else 1
            body = {**body, "spec": {"replicas": own, **body["spec"]}}
        made = self.put(
            kind, {**(before or {}), **body, "metadata": {**(before or body)["metadata"], **body["metadata"]}}
        )
        self._record_write("apply", kind)
        return made

    async def patch_status(
        self,
        kind: Kind,
        name: str,
        status: Json,
        *,
        namespace: str | None = None,
        resource_version: str | None = None,
    ) -> Json:
        self._check_refusal("patch", kind)
        key = (kind, namespace or "", name)
        if key not in self.objects:
            raise NotFound(name, status=404)
        if resource_version not in (None, self.objects[key]["metadata"]["resourceVersion"]):
            raise Conflict("the object has been modified", status=409)
        body = copy.deepcopy(self.objects[key])
        body["status"] = apply_merge_patch(body.get("status", {}), status)
        made = self.put(kind, body)
        self._record_write("patch", kind)
        return made

    async def delete(
        self,
        kind: Kind,
        name: str,
        *,
        namespace: str | None = None,
        propagation: str = "Background",
        uid: str | None = None,
    ) -> None:
        self._check_refusal("delete", kind)
        found = self.objects.get((kind, namespace or "", name))
        if found is None:
            raise NotFound(name, status=404)
        if uid not in (None, found["metadata"]["uid"]):
            raise Conflict("uid differs", status=409)
        self.remove(kind, found)
        self._record_write("delete", kind)

    # --- the rest of the cluster ---
    def put(self, kind: Kind, body: Json) -> Json:
        """Create or replace an object and return it as stored."""
        body = copy.deepcopy(body)
        metadata = body["metadata"]
        key = (kind, metadata["namespace"], metadata["name"])
        before = self.objects.get(key)
        metadata["resourceVersion"] = str(next(self._versions))
        metadata.setdefault("uid", before["metadata"]["uid"] if before else f"uid-{next(self._uids)}")
        metadata.setdefault("creationTimestamp", time_of(self._now()))
        body |= {"apiVersion": kind.api_version, "kind": kind.kind}
        if kind in (RUN, ENDPOINT):
            same = before is not None and before["spec"] == body["spec"]
            metadata["generation"] = (before or body)["metadata"].get("generation", 0) + (not same)
        self.objects[key] = body
        self.events.append(("MODIFIED" if before else "ADDED", kind, copy.deepcopy(body)))
        return copy.deepcopy(body)

    def remove(self, kind: Kind, body: Json) -> None:
        """Remove an object and its children at once, except pods, which only get a deletion timestamp."""
        metadata = body["metadata"]
        gone = self.objects.pop((kind, metadata["namespace"], metadata["name"]))
        gone["metadata"]["resourceVersion"] = str(next(self._versions))
        self.events.append(("DELETED", kind, gone))
        for key, child in list(self.objects.items()):
            owners = child["metadata"].get("ownerReferences", ())
            if any(owner["uid"] == gone["metadata"]["uid"] for owner in owners):
                if key[0] == POD:
                    child["metadata"]["deletionTimestamp"] = time_of(self._now())
                    self.put(POD, child)
                else:
                    self.remove(key[0], child)

    def all(self, kind: Kind) -> list[Json]:
        return [copy.deepcopy(body) for key, body in self.objects.items() if key[0] == kind]

    def job_of(self, pod: Json) -> Json | None:
        owner = pod["metadata"]["ownerReferences"][0]
        return next((job for job in self.all(JOB) if job["metadata"]["uid"] == owner["uid"]), None)

    def _check_refusal(self, verb: str, kind: Kind) -> None:
        refusal = self.refuse(verb, kind)
        if refusal is not None:
            raise refusal

    def _record_write(self, verb: str, kind: Kind) -> None:
        self.writes.append(f"{verb} {kind.plural}")
        if self.crash_after is not None:
            self.crash_after -= 1
            if self.crash_after <= 0:
                self.crash_after = None
                raise Crashed


def apply_merge_patch(before: Any, patch: Any) -> Any:
    """Apply a merge patch (RFC 7386)."""
    if not isinstance(patch, dict):
        return patch
    result = dict(before) if isinstance(before, dict) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = apply_merge_patch(result.get(name), value)
    return result


def time_of(now: float) -> str:
    from learntoask.core.status.conditions import timestamp  # noqa: PLC0415

    return timestamp(now)
