"""The status of an AskEndpoint: the policy that answers, the one that is rolled out, and former ones."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from learntoask.core.manifest.ask_endpoint import PolicyReference
from learntoask.core.status.conditions import Condition
from learntoask.core.status.rollout import RolloutCounts, RolloutStatus
from learntoask.core.status.run import StatusModel

RevisionState = Literal["Pending", "WarmingUp", "Serving", "Draining", "Retired", "Failed"]
"""Pending: the servers do not exist yet. WarmingUp: they load the model and answer the demo conversation, without
traffic. Serving: they get traffic. Draining: they finish their requests. Retired: the servers are gone, and the
revision is kept for a rollback. Failed: the servers did not warm up and never got traffic."""


class Revision(StatusModel):
    """A policy with the settings of its servers. A rollback returns to a former revision."""

    number: Annotated[int, Field(ge=1)]
    """Number of the revision, counted from 1."""
    name: Annotated[str, Field(max_length=63)]
    """Digest of the policy and the server settings; part of the name of the Deployment."""
    policy: PolicyReference
    """Value of `spec.policy`, with a run replaced by its published stages. Write it to `spec.policy` to roll back."""
    state: RevisionState
    """State of the revision: its servers are pending, warming up, serving, draining, retired or failed."""
    created: Annotated[str, Field(max_length=40)]
    """Time when the revision was created (RFC 3339)."""
    warm: Annotated[str, Field(max_length=40)] | None = None
    """Time when its first server was warm (RFC 3339)."""
    replaced: Annotated[str, Field(max_length=40)] | None = None
    """Time when it got no more traffic (RFC 3339)."""
    replicas: Annotated[int, Field(ge=0)] = 0
    """Number of its policy servers."""
    ready: Annotated[int, Field(ge=0)] = 0
    """Number of its policy servers that are warm and healthy."""
    reason: Annotated[str, Field(max_length=100)] = ""
    """Cause of its failure, as a CamelCase word."""
    message: Annotated[str, Field(max_length=2000)] = ""
    """Cause of its failure: the last output of its container."""


def service_address(name: str, namespace: str, *, port: int) -> str:
    """Return the address for clients in the cluster: that of the Service of the gateways."""
    return f"{name}.{namespace}.svc:{port}"


class EndpointStatus(StatusModel):
    """The status of an AskEndpoint."""

    observed_generation: Annotated[int, Field(ge=0)] = 0
    """The metadata.generation that this status describes."""
    phase: Literal["Pending", "RollingOut", "Ready", "Degraded"] = "Pending"
    """Summary of the conditions, for printing."""
    conditions: Annotated[tuple[Condition, ...], Field(max_length=16)] = ()
    """Conditions of the types Ready, RolledOut, RolloutHealthy, GatewayReady, Autoscaled, Reconciling and Stalled."""
    address: Annotated[str, Field(max_length=300)] = ""
    """Address for clients in the cluster: `name.namespace.svc:port`. Empty while the Service is somebody else's."""
    revision: Annotated[str, Field(max_length=63)] = ""
    """Name of the revision that serves; the older one while two serve."""
    target: Annotated[str, Field(max_length=63)] = ""
    """Name of the revision that the spec describes."""
    revisions: Annotated[tuple[Revision, ...], Field(max_length=64)] = ()
    """Revisions, newest first."""
    rollout: RolloutStatus | None = None
    """The rollout of a policy that is tried, or the last one."""
    rollout_gone: RolloutCounts = RolloutCounts()
    """What gateways have counted of this rollout that are gone; those that run tell theirs again."""
    canary: Annotated[str, Field(max_length=63)] = ""
    """Name of the revision that is tried, while it has servers of its own."""
    queued: Annotated[str, Field(max_length=63)] = ""
    """Name of the revision that waits for the end of this rollout."""
    replicas: Annotated[int, Field(ge=0)] = 0
    """Number of policy servers, for the scale subresource."""
    ready_replicas: Annotated[int, Field(ge=0)] = 0
    """Number of policy servers that get traffic."""
    selector: Annotated[str, Field(max_length=500)] = ""
    """Label selector of the policy servers, for the scale subresource."""
