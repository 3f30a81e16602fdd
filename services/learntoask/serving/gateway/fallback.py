"""The gateway's own answers while no policy server answers."""

from __future__ import annotations

from importlib.metadata import version

from learntoask.core.pack import Pack
from learntoask.core.stages.graph import pack_digests
from learntoask.wire import ask_pb2 as wire


def fallback_decision(pack: Pack, *, request_id: str) -> wire.Decision:
    """Ask the pack's fallback question: without a policy, asking on is safe and stopping is not."""
    return wire.Decision(
        ask=wire.Ask(question=pack.fallback),
        usage=wire.Usage(),
        origin=wire.ORIGIN_NO_SERVER,
        request_id=request_id,
    )


def fallback_info(pack: Pack, *, draining: bool) -> wire.GetServerInfoResponse:
    """Return what the gateway knows without a policy server: its version and the pack."""
    return wire.GetServerInfoResponse(
        version=version("learntoask"),
        pack=pack.name,
        pack_digest=pack_digests(pack)["whole"],
        tasks=[
            wire.TaskInfo(name=task.name, goal=task.goal, fields=[field.name for field in task.fields])
            for task in pack.tasks
        ],
        default_task=pack.default_task or "",
        draining=draining,
    )
