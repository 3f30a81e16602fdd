"""What the pods of a run print, those of several attempts and workers side by side."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from learntoask.cluster.display import ShownRun
from learntoask.core.errors import InputError
from learntoask.core.json_object import Json
from learntoask.core.pod_contract import ATTEMPT_LABEL, COMPLETION_INDEX_LABEL, RUN_LABEL, STAGE_LABEL
from learntoask.kube import POD, RUN, Invalid, Kube, NotFound, Unavailable

Line = Callable[[str, str], None]
"""Told a pod's short name and one line."""
_LOOK_AGAIN = 2.0  # seconds


async def show_logs(
    kube: Kube, run: str, *, namespace: str, stage: str | None, tail: int | None, line: Line
) -> None:
    """The lines of the latest attempt of `stage`, or of the stage that ran last. Raises InputError where there are no
    pods (any more)."""
    pods = latest(await _pods(kube, run, namespace, stage))
    if not pods:
        await kube.get(RUN, run, namespace=namespace)
        raise InputError(
            f"run {namespace}/{run} has no pods{f' of stage {stage}' if stage else ''}; a Job that is removed takes "
            "its pods along. What failed stands in `lta status --cluster`"
        )
    for pod in pods:
        await _stream(kube, pod, namespace, follow=False, tail=tail, line=line)


async def follow_logs(kube: Kube, run: str, *, namespace: str, stage: str | None, line: Line) -> None:
    """Every line of every pod from now on, until the run is over (or `stage` is)."""
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
            await asyncio.sleep(_LOOK_AGAIN)
    finally:
        for task in followed.values():
            task.cancel()
        await asyncio.gather(*followed.values(), return_exceptions=True)


def latest(pods: Sequence[Json]) -> list[Json]:
    """The pods of the attempt that was created last, in the order of their index."""
    if not pods:
        return []
    newest = max(pods, key=lambda pod: str(pod["metadata"].get("creationTimestamp", "")))
    return sorted((pod for pod in pods if _attempt(pod) == _attempt(newest)), key=_index)


def short_name(pod: Json) -> str:
    """`sft 2`, or `sft 2.1` for the second of several pods."""
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
        async for one in kube.logs(name, namespace=namespace, follow=follow, tail=tail):
            line(short_name(pod), one)
    except (Invalid, NotFound, Unavailable) as error:  # not started yet, gone meanwhile, or its node is
        line(short_name(pod), f"(no log: {error})")


def _attempt(pod: Json) -> tuple[str | None, str | None]:
    labels = pod["metadata"].get("labels", {})
    return labels.get(STAGE_LABEL), labels.get(ATTEMPT_LABEL)


def _index(pod: Json) -> int:
    return int(pod["metadata"].get("labels", {}).get(COMPLETION_INDEX_LABEL, 0))
