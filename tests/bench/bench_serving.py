"""Measures the cost of the ask/stop service against a bare grpc.aio echo of the same request.

Both servers are separate processes, called alternately from this one. The service runs as `lta serve` does, with
checks, metrics and one log line per call; the echo parses the same request and returns it.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import os
import statistics
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import redirect_stderr
from multiprocessing.connection import Connection
from pathlib import Path

import grpc
from learntoask.core.pack import Pack
from learntoask.rpc.process import run
from learntoask.serving.config import ServeConfig
from learntoask.serving.server import PolicyServer, ServedPolicy
from learntoask.wire import ask_pb2 as wire
from learntoask.wire import ask_pb2_grpc
from null_engine import NullEngine

TURNS = 4  # of the conversation in the request; the last message is the user's


def request() -> wire.DecideRequest:
    messages = []
    for turn in range(TURNS):
        messages.append(
            wire.Message(role=wire.ROLE_USER, content=f"It hurts since day {turn}, mostly at night.")
        )
        messages.append(wire.Message(role=wire.ROLE_ASSISTANT, content="Do you take any medicine for it?"))
    return wire.DecideRequest(messages=messages[:-1], conversation_id="bench-1")


def serve_echo(pipe: Connection) -> None:
    async def echo(asked: wire.DecideRequest, _context: grpc.aio.ServicerContext) -> wire.DecideRequest:
        return asked

    async def main() -> None:
        server = grpc.aio.server()
        method = grpc.unary_unary_rpc_method_handler(
            echo, wire.DecideRequest.FromString, wire.DecideRequest.SerializeToString
        )
        server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler("bench.Echo", {"Echo": method}),)
        )
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        pipe.send(port)
        await server.wait_for_termination()

    asyncio.run(main())


def serve_policy(pipe: Connection) -> None:
    pack = Pack.model_validate(
        {"name": "bench", "tasks": [{"name": "default", "goal": "Advise.", "fields": [{"name": "duration"}]}]}
    )
    parts = ServedPolicy(engine=NullEngine(), pack=pack, revision="bench", shape="")
    config = ServeConfig(model=Path(), pack=Path(), port=0, metrics_port=0, max_concurrent=64)

    async def make() -> PolicyServer:
        return PolicyServer(config, parts)

    with open(os.devnull, "w") as sink, redirect_stderr(sink):
        run(make, log_level="INFO", ready=lambda address: pipe.send(int(address.rpartition(":")[2])))


async def measure(call: Callable[[], Awaitable[object]], *, clients: int, seconds: float) -> list[float]:
    """Return latencies in seconds of the calls within `seconds`, after a warm-up of a fifth of that time."""
    latencies: list[float] = []
    begin = time.perf_counter() + seconds / 5
    end = begin + seconds

    async def client() -> None:
        while (started := time.perf_counter()) < end:
            await call()
            if started >= begin:
                latencies.append(time.perf_counter() - started)

    await asyncio.gather(*(client() for _ in range(clients)))
    return latencies


async def drive(
    echo_port: int, policy_port: int, *, seconds: float, rounds: int
) -> dict[tuple[str, int], list[float]]:
    asked = request()
    async with (
        grpc.aio.insecure_channel(f"127.0.0.1:{echo_port}") as bare,
        grpc.aio.insecure_channel(f"127.0.0.1:{policy_port}") as policy,
    ):
        echo = bare.unary_unary(
            "/bench.Echo/Echo", wire.DecideRequest.SerializeToString, wire.DecideRequest.FromString
        )
        decide = ask_pb2_grpc.AskServiceStub(policy).Decide
        found: dict[tuple[str, int], list[float]] = {}
        for _ in range(rounds):  # alternately, so that a slow moment of the machine affects both
            for clients in (1, 32):
                for name, method in (("echo", echo), ("Decide", decide)):
                    latencies = await measure(
                        lambda method=method: method(asked), clients=clients, seconds=seconds
                    )
                    found.setdefault((name, clients), []).extend(latencies)
    return found


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--rounds", type=int, default=9)
    arguments = parser.parse_args()
    processes, ports = [], []
    context = multiprocessing.get_context("spawn")
    for target in (serve_echo, serve_policy):
        here, there = context.Pipe()
        process = context.Process(target=target, args=(there,), daemon=True)
        process.start()
        processes.append(process)
        ports.append(here.recv())
    total = arguments.seconds * arguments.rounds
    found = asyncio.run(drive(*ports, seconds=arguments.seconds, rounds=arguments.rounds))
    for process in processes:
        process.terminate()
        process.join(10)
    print(f"{'':8}{'clients':>8}{'calls/s':>10}{'p50 ms':>9}{'p99 ms':>9}")
    for (name, clients), latencies in sorted(found.items(), key=lambda item: (item[0][1], item[0][0])):
        rate, p50 = len(latencies) / total, statistics.median(latencies) * 1e3
        p99 = statistics.quantiles(latencies, n=100)[98] * 1e3
        print(f"{name:8}{clients:>8}{rate:>10.0f}{p50:>9.2f}{p99:>9.2f}")
    ratio = len(found["Decide", 32]) / len(found["echo", 32])
    above = (statistics.median(found["Decide", 1]) - statistics.median(found["echo", 1])) * 1e3
    print(f"calls/s at 32 clients, Decide against echo: {ratio:.2f} (goal ≥ 0.60)")
    print(f"p50 at 1 client, Decide above echo: {above:.2f} ms (goal ≤ 1 ms)")
    sys.exit(0 if ratio >= 0.6 and above <= 1 else 1)


if __name__ == "__main__":
    main()
