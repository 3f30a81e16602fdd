"""Goal 5: copies to a new policy add nothing to the answers of users, also if the new policy hangs.

The engines wait instead of computing, so the load is one of the servers and not of the cores, as with engines on GPUs.
"""

from __future__ import annotations

import asyncio
import itertools
import statistics
import time
from collections.abc import Iterator

import grpc
import uvloop
from bench_serving import request
from calibration_goals.rows import Row
from learntoask.core.manifest.strategy import Strategy
from learntoask.core.status.rollout import RolloutFile, RolloutStatus
from learntoask.serving.rollout.file import write
from learntoask.wire import ask_pb2_grpc

from gateway_goals.processes import Processes, Running, started

_ENGINE_SECONDS, _AT_ONCE = 0.05, 5
_LOAD = 0.8
_HANGS = 3600.0


def rows(*, quick: bool) -> Iterator[Row]:
    """Measure three gateways in front of the same server, alternately."""
    seconds, rounds = (2.0, 3) if quick else (10.0, 6)
    with started() as processes:
        old = processes.policy("old", seconds=_ENGINE_SECONDS, at_once=_AT_ONCE)
        fronts = {
            "no copies": processes.gateway(old.address),
            "copies": _copying(processes, old, "new", _ENGINE_SECONDS),
            "copies to a policy that hangs": _copying(processes, old, "hanging", _HANGS),
        }
        found, failed = uvloop.run(_drive(fronts, seconds=seconds, rounds=rounds))
    p95 = {name: statistics.quantiles(times, n=20)[18] * 1e3 for name, times in found.items()}
    for name in fronts:
        added = p95[name] / p95["no copies"] - 1
        compared = name != "no copies"
        yield Row(
            5,
            f"{_LOAD:.0%} load",
            f"p95, {name}",
            f"{p95[name]:.1f} ms ({added:+.1%}), {failed[name]} of {len(found[name])} calls failed",
            "≤ +2 %, 0" if compared else "",
            added <= 0.02 and not failed[name] if compared else None,
        )


def _copying(processes: Processes, old: Running, name: str, seconds: float) -> Running:
    """A gateway that copies every conversation to a new policy."""
    strategy = Strategy.model_validate({"mode": "shadow", "shadow": {"pairs": 100_000}})
    state = RolloutStatus(
        id=name,
        stable="old",
        canary="new",
        stage="Shadow",
        started="2026-01-01T00:00:00Z",
        step_started="2026-01-01T00:00:00Z",
    )
    path = processes.folder / f"{name}.json"
    write(path, RolloutFile(strategy=strategy, state=state))
    new = processes.policy("new", seconds=seconds, at_once=_AT_ONCE)
    return processes.gateway(old.address, canary=(new.address,), rollout=path)


async def _drive(
    fronts: dict[str, Running], *, seconds: float, rounds: int
) -> tuple[dict[str, list[float]], dict[str, int]]:
    """Return latencies, and the number of failed calls, of calls at even intervals."""
    found: dict[str, list[float]] = {name: [] for name in fronts}
    failed = dict.fromkeys(fronts, 0)
    names = itertools.count()
    pause = _ENGINE_SECONDS / _AT_ONCE / _LOAD
    for _, (name, front) in itertools.product(range(rounds), fronts.items()):
        async with grpc.aio.insecure_channel(front.address) as channel:
            stub = ask_pb2_grpc.AskServiceStub(channel)

            async def ask(name: str = name, stub: ask_pb2_grpc.AskServiceStub = stub) -> None:
                asked = request()
                del asked.messages[1:]
                asked.conversation_id = f"bench-{next(names)}"
                start = time.perf_counter()
                try:
                    answer = await stub.Decide(asked, timeout=30)
                    failed[name] += not answer.decision.policy_revision
                except grpc.aio.AioRpcError:
                    failed[name] += 1
                found[name].append(time.perf_counter() - start)

            calls = []
            begin = time.perf_counter()
            for number in range(int(seconds / pause)):
                await asyncio.sleep(begin + number * pause - time.perf_counter())
                calls.append(asyncio.create_task(ask()))
            await asyncio.gather(*calls)
    return found, failed
