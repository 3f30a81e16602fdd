"""Why a pod does not start, in the words of API server, scheduler, kubelet and container runtime."""

from __future__ import annotations

from typing import Any

import pytest
from learntoask.core.json_object import Json
from learntoask_operator.causes import refused_pods, why_waiting

NOW = 1_700_000_000.0
FORBIDDEN = 'Error creating: pods "one-resolve-0-1-" is forbidden: '


def pod(*, waits: str = "ContainerCreating", says: str = "", phase: str = "Pending", **status: Any) -> Json:
    waiting = {"reason": waits, **({"message": says} if says else {})}
    containers = [{"name": "stage", "state": {"waiting": waiting}}]
    return {"metadata": {"name": "p"}, "status": {"phase": phase, "containerStatuses": containers, **status}}


def warned(body: Json, *warnings: tuple[str, str, float]) -> Json:
    found = [{"reason": reason, "message": message, "at": NOW - ago} for reason, message, ago in warnings]
    return {**body, "warnings": found}


def job(*warnings: tuple[str, str, float]) -> Json:
    return warned({"metadata": {"name": "j"}, "status": {}}, *warnings)


def test_a_pod_that_the_scheduler_leaves_aside_waits_for_the_claims_that_it_names() -> None:
    made = {"name": "p", "creationTimestamp": "2023-11-14T22:13:10Z"}  # 10 s before NOW
    claims = [
        {"name": "gpu", "resourceClaimName": "shared"},
        {"name": "own", "resourceClaimTemplateName": "one"},
    ]
    unseen = {"metadata": made, "spec": {"resourceClaims": claims}, "status": {"phase": "Pending"}}
    cause = why_waiting([unseen], now=NOW)
    assert cause is not None
    assert (cause.reason, cause.lasting) == ("WaitingForClaims", False)
    assert cause.message.endswith("exist: shared")
    assert why_waiting([unseen], now=NOW - 1) is None
    assert why_waiting([{**unseen, "spec": {"resourceClaims": claims[1:]}}], now=NOW) is None
    seen = {"phase": "Pending", "conditions": [{"type": "PodScheduled", "status": "True"}]}
    assert why_waiting([{**unseen, "status": seen}], now=NOW) is None


@pytest.mark.parametrize(
    ("message", "lasting"),
    [
        ('error looking up service account n/trainer: serviceaccount "trainer" not found', True),
        ("no PriorityClass with name urgent was found", True),
        ('pod rejected: RuntimeClass "nvidia" not found', True),
        ("failed quota: q: must specify limits.cpu for: stage", True),
        ("maximum cpu usage per Container is 500m, but limit is 1", True),
        ('violates PodSecurity "restricted:latest": runAsNonRoot != true', True),
        ("exceeded quota: q, requested: pods=1, used: pods=1, limited: pods=1", False),
        (
            "exceeded quota: q, requested: pods=1,memory=2Gi, used: x=0, limited: pods=5,memory=1Gi",
            True,
        ),
        (
            "exceeded quota: q, requested: requests.cpu=900m, used: requests.cpu=500m, limited: requests.cpu=1",
            False,
        ),
        (
            "exceeded quota: q, requested: requests.a.com/gpu=8, used: y=0, limited: requests.a.com/gpu=4",
            True,
        ),
        ("Internal error occurred: failed calling webhook: connection refused", False),
    ],
)
def test_why_a_pod_cannot_be_created_and_whether_waiting_helps(message: str, lasting: bool) -> None:
    cause = why_waiting([], now=NOW, creator=job(("FailedCreate", FORBIDDEN + message, 3)))
    assert cause is not None
    assert (cause.reason, cause.lasting, cause.at) == ("FailedCreate", lasting, NOW - 3)
    assert message in cause.message


def test_a_job_whose_pods_exist_now_is_not_kept_from_creating_them() -> None:
    creator = job(("FailedCreate", "exceeded quota", 3), ("BackoffLimitExceeded", "failed", 1))
    assert why_waiting([pod()], now=NOW, creator=creator, wanted=1) is None
    other = why_waiting([pod(phase="Running")], now=NOW, creator=creator, wanted=2)
    assert other is not None
    assert other.reason == "FailedCreate"


@pytest.mark.parametrize(
    ("reason", "message", "lasting"),
    [
        ("FailedMount", 'MountVolume.SetUp failed for volume "v" : secret "s" not found', True),
        ("FailedMount", 'MountVolume.SetUp failed for volume "v" : configmap "c" not found', True),
        (
            "FailedMount",
            'MountVolume.SetUp failed for volume "v" : references non-existent secret key: k',
            True,
        ),
        (
            "FailedMount",
            'MountVolume.SetUp failed for volume "v" : failed to sync secret cache: timed out',
            False,
        ),
        ("FailedCreatePodSandBox", "failed to set up network", False),
        ("FailedToRetrieveImagePullSecret", "Unable to retrieve some image pull secrets (s)", False),
    ],
)
def test_a_kubelet_tells_of_mounts_by_events_alone(reason: str, message: str, lasting: bool) -> None:
    assert why_waiting([pod()], now=NOW) is None
    cause = why_waiting([warned(pod(), (reason, message, 1))], now=NOW)
    assert cause is not None
    assert (cause.reason, cause.message, cause.lasting) == (reason, f"pod p: {message}", lasting)


def test_the_event_that_names_what_is_missing_is_preferred_and_old_ones_do_not_count() -> None:
    named = ("FailedMount", 'secret "s" not found', 60)
    late = ("FailedMount", "Unable to attach or mount volumes: timed out waiting for the condition", 1)
    cause = why_waiting([warned(pod(), named, late)], now=NOW)
    assert cause is not None
    assert "not found" in cause.message
    assert why_waiting([warned(pod(), ("FailedMount", "m", 3600))], now=NOW) is None
    assert why_waiting([warned(pod(phase="Running"), named)], now=NOW) is None


@pytest.mark.parametrize(
    ("reason", "message", "lasting"),
    [
        ("CreateContainerConfigError", 'secret "s" not found', True),
        ("CreateContainerConfigError", "couldn't find key k in Secret n/s", True),
        ("InvalidImageName", "couldn't parse image name", True),
        ("ErrImagePull", "docker.io/x/y:z: not found", True),
        ("ImagePullBackOff", 'Back-off pulling image "x": unauthorized: authentication required', True),
        ("ErrImagePull", "dial tcp: i/o timeout", False),
        ("ImagePullBackOff", "toomanyrequests", False),
    ],
)
def test_the_container_runtime_says_it_in_the_state_of_the_container(
    reason: str, message: str, lasting: bool
) -> None:
    cause = why_waiting([pod(waits=reason, says=message)], now=NOW)
    assert cause is not None
    assert (cause.lasting, cause.at) == (lasting, NOW)
    assert cause.reason == reason.replace("ErrImagePull", "ImagePullBackOff"), (
        "a kubelet alternates between the two"
    )


def test_the_scheduler_says_it_in_a_condition() -> None:
    for message, lasting in (
        ("0/3 nodes are available: 3 Insufficient nvidia.com/gpu.", False),
        ('0/3 nodes are available: persistentvolumeclaim "logs" not found. not found', True),
    ):
        unscheduled = {
            "type": "PodScheduled",
            "status": "False",
            "reason": "Unschedulable",
            "message": message,
        }
        cause = why_waiting([pod(conditions=[unscheduled])], now=NOW)
        assert cause is not None
        assert (cause.reason, cause.lasting) == ("Unschedulable", lasting)


def test_a_deployment_tells_that_its_pods_are_refused() -> None:
    failed = {
        "type": "ReplicaFailure",
        "status": "True",
        "reason": "FailedCreate",
        "message": "exceeded quota",
    }
    cause = refused_pods({"status": {"conditions": [failed]}}, NOW)
    assert cause is not None
    assert (cause.reason, cause.message) == ("FailedCreate", "exceeded quota")
    assert refused_pods({"status": {}}, NOW) is None
