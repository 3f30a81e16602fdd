"""Writes statuses: what a reconcile decided counts only for the object that it was decided for."""

from __future__ import annotations

from collections.abc import Callable

from learntoask.core.json_object import Json
from learntoask.kube import Conflict, Kind, Kube, NotFound

AGAIN_SECONDS = 2.0
"""Time until a reconcile whose status could not be written is repeated, should no event wake it sooner."""


class StatusWriter:
    """`observed` gets each object that was written, so that the next reconcile knows it, and `gone` each one that turns
    out to be deleted."""

    def __init__(
        self,
        kube: Kube,
        kind: Kind,
        *,
        observed: Callable[[Kind, Json], None],
        gone: Callable[[Kind, Json], None],
    ) -> None:
        self._kube, self._kind, self._observed, self._gone = kube, kind, observed, gone

    async def write(self, body: Json, patch: Json) -> Json | None:
        """Merge `patch` into the status of the object `body`. Return the object as it is then.

        None: it has changed since it was observed, or is gone. Then the decision is out of date, and nothing more of it
        may be carried out.
        """
        if not patch:
            return body
        metadata = body["metadata"]
        try:
            written = await self._kube.patch_status(
                self._kind,
                metadata["name"],
                patch,
                namespace=metadata["namespace"],
                resource_version=metadata["resourceVersion"],
            )
        except Conflict:
            return None
        except NotFound:
            self._gone(self._kind, body)
            return None
        self._observed(self._kind, written)
        return written
