"""Finds out from the pods of an attempt when they ran, and how they ended. The functions are pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from learntoask.core.json_object import Json
from learntoask.core.pod_contract import COMPLETION_INDEX_LABEL, DISRUPTED, TerminationMessage
from learntoask.core.process.exit import describe_exit
from learntoask.core.status.conditions import seconds_of, shorten
from learntoask.core.status.run import Failure

CONTAINER = "stage"
_LONGEST_MESSAGE = 2000  # characters that are kept of a container's message


def result_of(pods: Iterable[Json]) -> TerminationMessage | None:
    """The message of the first pod (by index) that succeeded and reports an output or the inputs; None if none does."""
    for pod in sorted(pods, key=_index):
        termination = termination_of(pod)
        if termination is None or termination.get("exitCode") != 0:
            continue
        message = TerminationMessage.parse(termination.get("message"))
        if message is not None and (message.inputs is not None or message.output is not None):
            return message
    return None


def failure_of(pods: Iterable[Json], *, stage: str, attempt: int, fallback: Failure) -> Failure:
    """The failure that explains an attempt's failure, or `fallback` if no pod is left.

    A pod with a termination message is preferred to one that crashed, and that to one that was killed: when a worker
    is lost, its peers fail too, later and by a signal.
    """
    failed = [pod for pod in pods if pod["status"].get("phase") == "Failed" or _has_crashed(pod)]
    if not failed:
        return fallback
    pod = min(failed, key=_explanation_rank)
    termination, status = termination_of(pod) or {}, pod["status"]
    message = _message(termination)
    reason = message.reason or _given_reason(termination.get("reason")) or status.get("reason") or "Crashed"
    text = message.message or termination.get("message") or status.get("message") or _exit_text(termination)
    return Failure(
        stage=stage,
        attempt=attempt,
        pod=pod["metadata"]["name"],
        container=CONTAINER if termination else "",
        exit_code=termination.get("exitCode"),
        reason=str(reason)[:128],
        message=shorten(str(text), _LONGEST_MESSAGE),
        time=str(termination.get("finishedAt") or fallback.time),
        retryable=message.retryable,
    )


def disruption_of(pods: Iterable[Json]) -> str | None:
    """Why one of the pods was ended from outside (evicted, preempted, deleted); None if none was."""
    for pod in pods:
        name = pod["metadata"]["name"]
        message = _message(termination_of(pod) or {})
        if message.reason == DISRUPTED:  # it got SIGTERM and reported that
            return f"pod {name}: {message.message}"
        for condition in pod["status"].get("conditions", ()):
            if condition["type"] == "DisruptionTarget" and condition["status"] == "True":
                return f"pod {name}: {condition.get('message') or condition.get('reason', 'disrupted')}"
    return None


def running_since(pod: Json) -> float | None:
    """When the stage's container began, in seconds since the epoch; None before that."""
    status = pod["status"]
    for container in status.get("containerStatuses", ()):
        state = container.get("state", {})
        began = (state.get("running") or state.get("terminated") or {}).get("startedAt")
        if container["name"] == CONTAINER and began:
            return seconds_of(began)
    if status.get("phase") in ("Running", "Succeeded", "Failed") and status.get("startTime"):
        return seconds_of(status["startTime"])
    return None


def has_ended(pod: Json) -> bool:
    return pod["status"].get("phase") in ("Succeeded", "Failed")


def termination_of(pod: Json) -> Json | None:
    """How the stage's container ended (`state.terminated`); None while it runs or waits."""
    for container in pod["status"].get("containerStatuses", ()):
        if container["name"] == CONTAINER:
            terminated = container.get("state", {}).get("terminated")
            return dict(terminated) if terminated else None
    return None


def _message(termination: Json) -> TerminationMessage:
    return TerminationMessage.parse(termination.get("message")) or TerminationMessage()


def _index(pod: Json) -> int:
    return int(pod["metadata"].get("labels", {}).get(COMPLETION_INDEX_LABEL, 0))


def _has_crashed(pod: Json) -> bool:
    termination = termination_of(pod)
    return termination is not None and termination.get("exitCode") != 0


def _explanation_rank(pod: Json) -> tuple[int, str]:
    """The lower, the better the pod explains the failure; see `failure_of`. Earlier ends come first."""
    termination = termination_of(pod) or {}
    explains = bool(_message(termination).reason)
    signalled = int(termination.get("exitCode") or 0) > 128
    return (0 if explains else 2 if signalled else 1, str(termination.get("finishedAt", "~")))


def _given_reason(reason: Any) -> str | None:
    """Kubernetes' reason for the end of a container, such as OOMKilled, unless it says nothing."""
    return None if reason in (None, "Error", "Completed") else str(reason)


def _exit_text(termination: Json) -> str:
    code = termination.get("exitCode")
    if code is None:
        return "the pod failed and left no message"
    return f"the container {describe_exit(code)}"
