"""Tells why a pod does not start, and whether waiting can help. The functions are pure.

The scheduler tells it in a condition of the pod and the container runtime in the state of a container. A kubelet tells
of a volume that it cannot mount by a Warning Event only, and a pod that was refused leaves nothing but an Event about
its Job. The cache adds these Events to the objects (`warnings`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from learntoask.core.json_object import Json
from learntoask.core.status.conditions import seconds_of, shorten
from learntoask.kube import quantity

_FRESH = 600.0  # seconds; a cause that lasts is told again sooner than that
CLAIMS_SECONDS = 10.0
"""Time after which a pod that the scheduler has not looked at waits for its ResourceClaims; nobody tells that."""
_SILENT = (None, "ContainerCreating", "PodInitializing")
_ABSENT = (
    r"(secret|configmap|persistentvolumeclaim|serviceaccount|RuntimeClass|resourceclaim(template)?(\.resource\.k8s\.io)?)"
    r' "[^"]+" not found|does not exist'
)
_LASTING = {
    "FailedCreate": re.compile(
        rf"{_ABSENT}|no PriorityClass|must specify|usage per |violates PodSecurity|is invalid: |denied the request"
    ),
    "FailedResourceClaimCreation": re.compile(_ABSENT),
    "FailedMount": re.compile(rf"{_ABSENT}|non-existent"),
    "Unschedulable": re.compile(_ABSENT),
    "CreateContainerConfigError": re.compile(rf"{_ABSENT}|couldn't find key|runAsNonRoot"),
    "ImagePullBackOff": re.compile(
        r"not found|manifest unknown|unauthorized|denied|forbidden|authorization failed", re.I
    ),
    "InvalidImageName": re.compile(""),
    "ErrImageNeverPull": re.compile(""),
}
"""What somebody has to mend, by reason: patterns of messages."""
_SAME_REASON = {"ErrImagePull": "ImagePullBackOff"}  # a kubelet alternates between the two
_QUOTA = re.compile(r"exceeded quota: .*requested: (?P<asked>\S+), used: \S+, limited: (?P<limits>\S+)$")


@dataclass(frozen=True, kw_only=True)
class Cause:
    """Why a pod does not start, as observed `at` (seconds since the epoch); `lasting`: waiting does not help."""

    reason: str
    message: str
    at: float
    lasting: bool


def why_waiting(
    pods: Iterable[Json], *, now: float, creator: Json | None = None, wanted: int = 1
) -> Cause | None:
    """The cause that keeps `pods` from starting; None if none is known.

    `creator` is the Job that creates `wanted` pods.
    """
    pods = list(pods)
    for pod in pods:
        if pod["status"].get("phase", "Pending") != "Pending":
            continue
        found = (
            _from_scheduler(pod, now)
            or _from_container(pod, now)
            or _from_warnings(pod, now, of="pod")
            or _from_claims(pod, now)
        )
        if found is not None:
            return found
    if creator is not None and len(pods) < wanted:
        return _from_warnings(creator, now, of="Job", reasons=("FailedCreate",))
    return None


def refused_pods(deployment: Json, now: float) -> Cause | None:
    """Why the pods of `deployment` cannot be created; None if they can."""
    for condition in deployment.get("status", {}).get("conditions", ()):
        if condition["type"] == "ReplicaFailure" and condition["status"] == "True":
            reason = str(condition.get("reason", "FailedCreate"))
            return _cause(reason, str(condition.get("message") or reason), at=now)
    return None


def _from_scheduler(pod: Json, now: float) -> Cause | None:
    for condition in pod["status"].get("conditions", ()):
        if condition["type"] == "PodScheduled" and condition["status"] == "False":
            reason = str(condition.get("reason", "Unschedulable"))
            return _cause(reason, str(condition.get("message", "")), at=now, about=_name("pod", pod))
    return None


def _from_container(pod: Json, now: float) -> Cause | None:
    for container in pod["status"].get("containerStatuses", ()):
        waiting = container.get("state", {}).get("waiting")
        if waiting and waiting.get("reason") not in _SILENT:
            reason = str(waiting["reason"])
            return _cause(reason, str(waiting.get("message") or reason), at=now, about=_name("pod", pod))
    return None


def named_claims(pod: Json) -> list[str]:
    """The ResourceClaims that the pod names; those that are made for it are not among them."""
    claims = pod.get("spec", {}).get("resourceClaims") or ()
    return [claim["resourceClaimName"] for claim in claims if "resourceClaimName" in claim]


def _from_claims(pod: Json, now: float) -> Cause | None:
    """The scheduler leaves a pod aside, without a word, until the claims that it names exist."""
    looked_at = any(condition["type"] == "PodScheduled" for condition in pod["status"].get("conditions", ()))
    names = named_claims(pod)
    if looked_at or not names or now < seconds_of(pod["metadata"]["creationTimestamp"]) + CLAIMS_SECONDS:
        return None
    message = f"the scheduler waits until the resourceClaims that it names exist: {', '.join(names)}"
    return _cause("WaitingForClaims", message, at=now, about=_name("pod", pod))


def _from_warnings(
    body: Json, now: float, *, of: str, reasons: tuple[str, ...] | None = None
) -> Cause | None:
    """The latest Warning Event; one that names what is missing is preferred to one that only tells of the delay."""
    found = [
        _cause(warning["reason"], warning["message"], at=warning["at"], about=_name(of, body))
        for warning in body.get("warnings", ())
        if warning["at"] >= now - _FRESH and (reasons is None or warning["reason"] in reasons)
    ]
    return max(found, key=lambda cause: (cause.lasting, cause.at), default=None)


def _cause(reason: str, message: str, *, at: float, about: str = "") -> Cause:
    reason = _SAME_REASON.get(reason, reason)
    pattern = _LASTING.get(reason)
    lasting = bool(pattern and pattern.search(message)) or _exceeds_limit(message)
    text = f"{about}: {message}" if about else message
    return Cause(reason=reason[:128], message=shorten(text), at=at, lasting=lasting)


def _exceeds_limit(message: str) -> bool:
    """Whether a quota refused a pod that asks for more than the whole quota: no other pod's end makes room for it."""
    found = _QUOTA.search(message.strip())
    if not found:
        return False
    asked, limits = _amounts(found["asked"]), _amounts(found["limits"])
    return any(amount > limits.get(name, amount) for name, amount in asked.items())


def _amounts(text: str) -> dict[str, float]:
    """The amounts of a list such as `pods=1,requests.cpu=500m`; what is no amount is left out."""
    pairs = (item.partition("=") for item in text.split(","))
    return {name: amount for name, _, value in pairs if (amount := quantity(value)) is not None}


def _name(kind: str, body: Json) -> str:
    return f"{kind} {body['metadata']['name']}"
