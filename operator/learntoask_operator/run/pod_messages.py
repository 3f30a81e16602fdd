"""What the pods of an attempt say: how they wait, how they run, and their last words."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from learntoask.core.json_object import Json
from learntoask.core.status.conditions import seconds_of, shorten, timestamp
from learntoask.core.status.run import Failure, RunInputsRecord
from pydantic import JsonValue, ValidationError

CONTAINER = "stage"
_LONGEST_WORDS = 2000  # characters of a container's last words that are kept


@dataclass(frozen=True, kw_only=True)
class Report:
    """The last words of an attempt that succeeded: `inputs` of resolve, `output` of all other stages."""

    output: str = ""
    inputs: RunInputsRecord | None = None
    summary: Mapping[str, JsonValue] = field(default_factory=dict)
    reused: bool = False


def report_of(pods: Iterable[Json]) -> Report | None:
    """What the first pod (by index) that ended well reported; None when none did, or nothing readable."""
    for pod in sorted(pods, key=_index):
        ended = terminated(pod)
        if ended is None or ended.get("exitCode") != 0:
            continue
        said = _parsed(ended.get("message"))
        summary = said.get("summary")
        with suppress(ValidationError):
            inputs = RunInputsRecord.model_validate(said["inputs"]) if "inputs" in said else None
            if inputs or isinstance(said.get("output"), str):
                return Report(
                    output=str(said.get("output", "")),
                    inputs=inputs,
                    summary=summary if isinstance(summary, dict) else {},
                    reused=bool(said.get("skipped")),
                )
    return None


def failure_of(pods: Iterable[Json], *, stage: str, attempt: int, fallback: Failure) -> Failure:
    """The failure that explains an attempt's: one in a stage's own words before a crash, a crash before a kill, and
    `fallback` where no pod is left to tell."""
    failed = [pod for pod in pods if pod["status"].get("phase") == "Failed" or _crashed(pod)]
    if not failed:
        return fallback
    pod = min(failed, key=_silence)
    ended = terminated(pod) or {}
    said = _parsed(ended.get("message"))
    status = pod["status"]
    reason = said.get("reason") or _named(ended.get("reason")) or status.get("reason") or "Crashed"
    message = said.get("message") or ended.get("message") or status.get("message") or _how(ended)
    return Failure(
        stage=stage,
        attempt=attempt,
        pod=pod["metadata"]["name"],
        container=CONTAINER if ended else "",
        exit_code=ended.get("exitCode"),
        reason=str(reason)[:128],
        message=shorten(str(message), _LONGEST_WORDS),
        time=str(ended.get("finishedAt") or fallback.time),
        retryable=bool(said.get("retryable", True)),
    )


def disrupted(pods: Iterable[Json]) -> str | None:
    """Why the cluster, or somebody, ended one of the pods; None when nobody did."""
    for pod in pods:
        ended = terminated(pod)
        said = _parsed(ended.get("message")) if ended else {}
        if said.get("reason") == "Disrupted":  # it was told to end, and said so
            return f"pod {pod['metadata']['name']}: {said.get('message', '')}"
        for one in pod["status"].get("conditions", ()):
            if one["type"] == "DisruptionTarget" and one["status"] == "True":
                return (
                    f"pod {pod['metadata']['name']}: {one.get('message') or one.get('reason', 'disrupted')}"
                )
    return None


def waits_for(pods: Iterable[Json]) -> tuple[str, str]:
    """Reason and message why pods do not run yet: the scheduler's words, or those about an image."""
    for pod in pods:
        name = pod["metadata"]["name"]
        for one in pod["status"].get("conditions", ()):
            if one["type"] == "PodScheduled" and one["status"] == "False":
                return str(one.get("reason", "Unschedulable")), f"pod {name}: {one.get('message', '')}"
        for container in pod["status"].get("containerStatuses", ()):
            waiting = container.get("state", {}).get("waiting")
            if waiting and waiting.get("reason") not in (None, "ContainerCreating", "PodInitializing"):
                return str(waiting["reason"]), f"pod {name}: {waiting.get('message', waiting['reason'])}"
    return "", ""


def running_since(pod: Json) -> float | None:
    """When the stage's container began; None while it has not."""
    for container in pod["status"].get("containerStatuses", ()):
        state = container.get("state", {})
        began = (state.get("running") or state.get("terminated") or {}).get("startedAt")
        if container["name"] == CONTAINER and began:
            return seconds_of(began)
    if pod["status"].get("phase") in ("Running", "Succeeded", "Failed") and pod["status"].get("startTime"):
        return seconds_of(pod["status"]["startTime"])
    return None


def over(pod: Json) -> bool:
    return pod["status"].get("phase") in ("Succeeded", "Failed")


def terminated(pod: Json) -> Json | None:
    """How the stage's container ended."""
    for container in pod["status"].get("containerStatuses", ()):
        if container["name"] == CONTAINER:
            ended = container.get("state", {}).get("terminated")
            return dict(ended) if ended else None
    return None


def without_words(*, stage: str, attempt: int, reason: str, message: str, now: float) -> Failure:
    return Failure(stage=stage, attempt=attempt, reason=reason, message=message, time=timestamp(now))


def _parsed(message: Any) -> Json:
    try:
        said = json.loads(message or "")
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}


def _index(pod: Json) -> int:
    return int(pod["metadata"].get("labels", {}).get("batch.kubernetes.io/job-completion-index", 0))


def _crashed(pod: Json) -> bool:
    ended = terminated(pod)
    return ended is not None and ended.get("exitCode") != 0


def _silence(pod: Json) -> tuple[int, str]:
    """Peers of a lost worker fail too, later and by a signal: the first that speaks for itself explains it."""
    ended = terminated(pod) or {}
    spoke = bool(_parsed(ended.get("message")).get("reason"))
    signalled = int(ended.get("exitCode") or 0) > 128
    return (0 if spoke else 2 if signalled else 1, str(ended.get("finishedAt", "~")))


def _named(reason: Any) -> str | None:
    return None if reason in (None, "Error", "Completed") else str(reason)


def _how(ended: Json) -> str:
    code = ended.get("exitCode")
    if code is None:
        return "the pod failed without a word"
    hint = " (SIGKILL, often for lack of memory)" if code == 137 else ""
    return f"the container ended with exit code {code}{hint}"
