"""What an AskEndpoint tells about itself: which policy answers, which one is coming, which ones there were."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from learntoask.core.manifest.ask_endpoint import PolicyReference
from learntoask.core.status.conditions import Condition
from learntoask.core.status.run import StatusModel

RevisionState = Literal["Pending", "WarmingUp", "Serving", "Draining", "Retired", "Failed"]
"""Pending: its servers are not there yet. WarmingUp: they load and answer the demo conversation, and get no traffic.
Serving: they answer. Draining: they finish what they are at. Retired: gone, kept for a rollback. Failed: did not warm
up and never answered."""


class Revision(StatusModel):
    """One policy with the way it is served: what a rollback goes back to."""

    number: Annotated[int, Field(ge=1)]
    """Counts the revisions of this endpoint."""
    name: Annotated[str, Field(max_length=63)]
    """Digest of what is served; part of the name of its Deployment."""
    policy: PolicyReference
    """What `spec.policy` was, followed to the published stages: to roll back, put it there again."""
    state: RevisionState
    """How far it is: made, warmed up, asked, drained, gone, or failed."""
    created: Annotated[str, Field(max_length=40)]
    """When it was first wanted (RFC 3339)."""
    warm: Annotated[str, Field(max_length=40)] | None = None
    """When its first server had warmed up."""
    replaced: Annotated[str, Field(max_length=40)] | None = None
    """When the last traffic left it."""
    replicas: Annotated[int, Field(ge=0)] = 0
    """Its policy servers."""
    ready: Annotated[int, Field(ge=0)] = 0
    """Those of them that have warmed up and are in health."""
    reason: Annotated[str, Field(max_length=100)] = ""
    """Why it failed, in a word."""
    message: Annotated[str, Field(max_length=2000)] = ""
    """Why it failed: the last words of its container."""


class EndpointStatus(StatusModel):
    observed_generation: Annotated[int, Field(ge=0)] = 0
    """Generation of the spec that this status speaks of."""
    phase: Literal["Pending", "RollingOut", "Ready", "Degraded"] = "Pending"
    """Summary of the conditions, for people."""
    conditions: Annotated[tuple[Condition, ...], Field(max_length=16)] = ()
    """Ready, RolledOut, GatewayReady; see learntoask.core.status.conditions."""
    address: Annotated[str, Field(max_length=300)] = ""
    """Where to ask, inside the cluster: `name.namespace.svc:port`."""
    revision: Annotated[str, Field(max_length=63)] = ""
    """Name of the revision that serves; the older one while two do."""
    target: Annotated[str, Field(max_length=63)] = ""
    """Name of the revision that the spec asks for."""
    revisions: Annotated[tuple[Revision, ...], Field(max_length=64)] = ()
    """Revisions, newest first."""
    replicas: Annotated[int, Field(ge=0)] = 0
    """Policy servers there are, for the scale subresource."""
    ready_replicas: Annotated[int, Field(ge=0)] = 0
    """Policy servers that take traffic."""
    selector: Annotated[str, Field(max_length=500)] = ""
    """Labels of the policy servers, for the scale subresource."""
