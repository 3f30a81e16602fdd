"""Goal 8: what the gateway adds to a direct call, and how many calls it lets through on the same cores.

The servers, the gateway and the driver share the cores, so calls/s depend on all of them. What a call costs in
processor time depends least on what else the machine does. A bare proxy shows what grpc.aio alone costs: it passes the
bytes of each call on as another single call, and decides, checks, counts and logs nothing.
"""

from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import grpc
import uvloop
from bench_serving import measure, request
from calibration_goals.rows import Row
from learntoask.wire import ask_pb2_grpc

from gateway_goals.processes import Running, started

_CLIENTS = (1, 32)
_WARM_UP = 1.2  # `measure` calls for a fifth longer than it measures
_GOALS = {"gateway": (0.7, 0.65), "bare proxy": (None, None)}


@dataclass
class _Found:
    """Latencies of all rounds, and processor seconds of driver, front and servers."""

    latencies: list[float] = field(default_factory=list)
    processor: list[float] = field(default_factory=lambda: [0.0, 0.0, 0.0])


@dataclass(frozen=True)
class _Called:
    """What the driver calls: a server itself, or a `front` before `servers`."""

    servers: tuple[Running, ...]
    front: Running | None = None

    @property
    def address(self) -> str:
        return (self.front or self.servers[0]).address

    def processor(self) -> tuple[float, float, float]:
        front = self.front.processor_seconds() if self.front else 0.0
        return time.process_time(), front, sum(server.processor_seconds() for server in self.servers)


def rows(*, quick: bool) -> Iterator[Row]:
    """Measure alternately, so that a slow moment of the machine affects all."""
    seconds, rounds = (1.0, 3) if quick else (3.0, 5)
    with started() as processes:
        servers = tuple(processes.policy("old") for _ in range(2))
        addresses = [server.address for server in servers]
        called = {
            "direct": _Called(servers[:1]),
            "gateway": _Called(servers, processes.gateway(*addresses)),
            "bare proxy": _Called(servers, processes.bare_proxy(*addresses)),
        }
        found = uvloop.run(_drive(called, seconds=seconds, rounds=rounds))
    for name, (most, least) in _GOALS.items():
        p50 = {key: statistics.median(found[key, 1].latencies) * 1e3 for key in ("direct", name)}
        above = p50[name] - p50["direct"]
        yield Row(
            8,
            "null engine",
            f"p50 above a direct call, {name}, 1 client",
            f"{above:.2f} ms ({p50['direct']:.2f} → {p50[name]:.2f})",
            f"≤ {most} ms" if most else "–",
            above <= most if most else None,
        )
        rates = {key: len(found[key, 32].latencies) / (seconds * rounds) for key in ("direct", name)}
        share = rates[name] / rates["direct"]
        yield Row(
            8,
            "null engine",
            f"calls/s of a direct call, {name}, 32 clients, same cores",
            f"{share:.0%} ({rates['direct']:.0f} → {rates[name]:.0f})",
            f"≥ {least * 100:.0f} %" if least else "–",
            share >= least if least else None,
        )
    for name, clients in itertools.product(called, _CLIENTS):
        calls = len(found[name, clients].latencies) * _WARM_UP
        driver, front, behind = (spent / calls * 1e6 for spent in found[name, clients].processor)
        yield Row(
            8,
            "null engine",
            f"processor time of a call, {name}, {clients} clients",
            f"{driver + front + behind:.0f} µs (driver {driver:.0f}, front {front:.0f}, servers {behind:.0f})",
        )


async def _drive(
    called: Mapping[str, _Called], *, seconds: float, rounds: int
) -> dict[tuple[str, int], _Found]:
    """Return what was found by what is called and the number of clients."""
    found = {key: _Found() for key in itertools.product(called, _CLIENTS)}
    names = itertools.count()
    for _, clients, (name, one) in itertools.product(range(rounds), _CLIENTS, called.items()):
        async with grpc.aio.insecure_channel(one.address) as channel:
            stub = ask_pb2_grpc.AskServiceStub(channel)

            async def ask(stub: ask_pb2_grpc.AskServiceStub = stub) -> None:
                asked = request()
                asked.conversation_id = f"bench-{next(names)}"
                await stub.Decide(asked)

            before = one.processor()
            reached = found[name, clients]
            reached.latencies.extend(await measure(ask, clients=clients, seconds=seconds))
            spent = zip(reached.processor, one.processor(), before, strict=True)
            reached.processor = [total + now - then for total, now, then in spent]
    return found
