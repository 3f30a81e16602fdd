"""Goal 8: what the gateway adds to a direct call, and how many calls it lets through on the same cores.

The servers, the gateway and the driver share the cores, so calls/s depend on all of them. The gateway's own cost is its
processor time per call.
"""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Iterator

import grpc
import uvloop
from bench_serving import measure, request
from calibration_goals.rows import Row
from learntoask.wire import ask_pb2_grpc

from gateway_goals.processes import Running, started

_CLIENTS = (1, 32)
_WARM_UP = 1.2  # `measure` calls for a fifth longer than it measures


def rows(*, quick: bool) -> Iterator[Row]:
    """Measure alternately, so that a slow moment of the machine affects both."""
    seconds, rounds = (1.0, 3) if quick else (3.0, 5)
    with started() as processes:
        servers = [processes.policy("old") for _ in range(2)]
        front = processes.gateway(*(server.address for server in servers))
        called = {"direct": servers[0], "gateway": front}
        found, processor = uvloop.run(_drive(called, seconds=seconds, rounds=rounds))
    p50 = {name: statistics.median(found[name, 1]) * 1e3 for name in called}
    above = p50["gateway"] - p50["direct"]
    yield Row(
        8,
        "null engine",
        "p50 above a direct call, 1 client",
        f"{above:.2f} ms ({p50['direct']:.2f} → {p50['gateway']:.2f})",
        "≤ 0.7 ms",
        above <= 0.7,
    )
    rates = {name: len(found[name, 32]) / (seconds * rounds) for name in called}
    share = rates["gateway"] / rates["direct"]
    yield Row(
        8,
        "null engine",
        "calls/s of a direct call, 32 clients, same cores",
        f"{share:.0%} ({rates['direct']:.0f} → {rates['gateway']:.0f})",
        "≥ 65 %",
        share >= 0.65,
    )
    for name, clients in itertools.product(called, _CLIENTS):
        cost = processor[name, clients] / (len(found[name, clients]) * _WARM_UP)
        yield Row(
            8, "null engine", f"processor time of a call, {name}, {clients} clients", f"{cost * 1e6:.0f} µs"
        )


async def _drive(
    called: dict[str, Running], *, seconds: float, rounds: int
) -> tuple[dict[tuple[str, int], list[float]], dict[tuple[str, int], float]]:
    """Return latencies and processor seconds by what is called and the number of clients."""
    found: dict[tuple[str, int], list[float]] = {}
    processor = dict.fromkeys(itertools.product(called, _CLIENTS), 0.0)
    names = itertools.count()
    for _, clients, (name, running) in itertools.product(range(rounds), _CLIENTS, called.items()):
        async with grpc.aio.insecure_channel(running.address) as channel:
            stub = ask_pb2_grpc.AskServiceStub(channel)

            async def ask(stub: ask_pb2_grpc.AskServiceStub = stub) -> None:
                asked = request()
                asked.conversation_id = f"bench-{next(names)}"
                await stub.Decide(asked)

            before = running.processor_seconds()
            found.setdefault((name, clients), []).extend(await measure(ask, clients=clients, seconds=seconds))
            processor[name, clients] += running.processor_seconds() - before
    return found, processor
