"""Print the output of the pods of a run, each line with the stage, attempt and worker that it comes from."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from learntoask.cluster.display import ShownRun
from learntoask.core.errors import InputError
from learntoask.core.json_object import Json
from learntoask.core.pod_contract import ATTEMPT_LABEL, COMPLETION_INDEX_LABEL, RUN_LABEL, STAGE_LABEL
from learntoask.kube import POD, RUN, Invalid, Kube, NotFound, Unavailable

Line = Callable[[str, str], None]
"""Called with the short name of a pod and one line of its output."""
_POLL_SECONDS = 2.0


async def show_logs(
    kube: Kube, run: str, *, namespace: str, stage: str | None, tail: int | None, line: Line
) -> None:
    """Print the output of the latest attempt of `stage`, or of the stage that ran last.

    Raises InputError when there are no pods, or none any more.
    """
    pods = pods_of_latest_attempt(await _pods(kube, run, namespace, stage))
    if not pods:
        await kube.get(RUN, run, namespace=namespace)
        raise InputError(
            f"run {namespace}/{run} has no pods{f' of stage {stage}' if stage else ''}; the pods of a Job "
            "are removed with it. `lta status --cluster` shows why a stage failed"
        )
    for pod in pods:
        await _stream(kube, pod, namespace, follow=False, tail=tail, line=line)


async def follow_logs(kube: Kube, run: str, *, namespace: str, stage: str | None, line: Line) -> None:
    """Print every line of every pod from now on, until the run is over (or `stage` is)."""
    followed: dict[str, asyncio.Task[None]] = {}
    try:
        while True:
            shown = ShownRun.of(await kube.get(RUN, run, namespace=namespace))
            for pod in await _pods(kube, run, namespace, stage):
                name, phase = pod["metadata"]["name"], pod["status"].get("phase")
                if name not in followed and phase != "Pending":
                    followed[name] = asyncio.create_task(
                        _stream(kube, pod, namespace, follow=True, tail=None, line=line)
                    )
            record = shown.status.record(stage) if stage else None
            if shown.over or (record and record.state in ("Published", "Failed")):
                await asyncio.gather(*followed.values())
                return
            await asyncio.sleep(_POLL_SECONDS)
    finally:
        for task in followed.values():
            task.cancel()
        await asyncio.gather(*followed.values(), return_exceptions=True)


def pods_of_latest_attempt(pods: Sequence[Json]) -> list[Json]:
    """Return the pods of the attempt that was created last, ordered by their index."""
    if not pods:
        return []
    newest = max(pods, key=lambda pod: str(pod["metadata"].get("creationTimestamp", "")))
    return sorted((pod for pod in pods if _attempt(pod) == _attempt(newest)), key=_index)


def short_name(pod: Json) -> str:
    """Return stage and attempt, such as `sft 2`; `sft 2.1` for the second of several pods."""
    labels = pod["metadata"].get("labels", {})
    index = labels.get(COMPLETION_INDEX_LABEL)
    return f"{labels.get(STAGE_LABEL, '')} {labels.get(ATTEMPT_LABEL, '')}" + (
        f".{index}" if index is not None else ""
    )


async def _pods(kube: Kube, run: str, namespace: str, stage: str | None) -> list[Json]:
    labels = f"{RUN_LABEL}={run},{STAGE_LABEL}" + (f"={stage}" if stage else "")
    return await kube.list(POD, namespace=namespace, labels=labels)


async def _stream(
    kube: Kube, pod: Json, namespace: str, *, follow: bool, tail: int | None, line: Line
) -> None:
    name = pod["metadata"]["name"]
    try:
        async for text in kube.logs(name, namespace=namespace, follow=follow, tail=tail):
            line(short_name(pod), text)
    except (Invalid, NotFound, Unavailable) as error:  # not started yet, or the pod or its node is gone
        line(short_name(pod), f"(no log: {error})")


def _attempt(pod: Json) -> tuple[str | None, str | None]:
    labels = pod["metadata"].get("labels", {})
    return labels.get(STAGE_LABEL), labels.get(ATTEMPT_LABEL)


def _index(pod: Json) -> int:
    return int(pod["metadata"].get("labels", {}).get(COMPLETION_INDEX_LABEL, 0))
