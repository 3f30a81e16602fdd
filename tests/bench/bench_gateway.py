"""Measures the cost of the gateway against calling a policy server directly.

Policy servers that decode nothing, the gateway and this driver are separate processes, which share the cores of a small
machine. Calls/s through the gateway therefore depend on all of them; the gateway's own cost is its processor time per
call.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import multiprocessing
import os
import statistics
import tempfile
import time
from multiprocessing.connection import Connection
from pathlib import Path

import grpc
from bench_serving import measure, request, serve_policy
from learntoask.core.pack import Pack
from learntoask.rpc.logs import structured_logs
from learntoask.serving.gateway.config import GatewayConfig
from learntoask.serving.gateway.process import GatewayServer
from learntoask.wire import ask_pb2_grpc

PACK = Pack.model_validate(
    {"name": "bench", "tasks": [{"name": "default", "fields": [{"name": "duration"}]}]}
)
CLIENTS = (1, 32)


def serve_gateway(pipe: Connection, servers: tuple[str, ...], pack: str) -> None:
    async def main() -> None:
        gateway = GatewayServer(GatewayConfig(servers=servers, pack=Path(pack), port=0, metrics_port=0))
        await gateway.start()
        pipe.send(gateway.port)
        await asyncio.to_thread(pipe.recv)
        await gateway.drain()

    with open("/dev/null", "w") as sink, structured_logs(stream=sink):
        asyncio.run(main())


def processor_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def drive(ports: dict[str, int], pids: dict[str, int], *, seconds: float, rounds: int) -> None:
    found: dict[tuple[str, int], list[float]] = {}
    processor = dict.fromkeys(itertools.product(ports, CLIENTS), 0.0)
    names = itertools.count()
    for _ in range(rounds):  # alternately, so that a slow moment of the machine affects both
        for clients in CLIENTS:
            for name, port in ports.items():
                async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
                    stub = ask_pb2_grpc.AskServiceStub(channel)

                    async def ask(stub=stub) -> None:
                        asked = request()
                        asked.conversation_id = f"bench-{next(names)}"
                        await stub.Decide(asked)

                    before = processor_seconds(pids[name])
                    latencies = await measure(ask, clients=clients, seconds=seconds)
                    spent = processor_seconds(pids[name]) - before
                    processor[name, clients] += spent / 1.2  # the warm-up adds a fifth
                    found.setdefault((name, clients), []).extend(latencies)
    print(f"{'':8}{'clients':>8}{'calls/s':>10}{'p50 ms':>9}{'p95 ms':>9}{'its CPU µs/call':>18}")
    for (name, clients), latencies in sorted(found.items(), key=lambda item: (item[0][1], item[0][0])):
        p50, p95 = statistics.median(latencies), statistics.quantiles(latencies, n=20)[18]
        cost = processor[name, clients] / len(latencies)
        rate = len(latencies) / (seconds * rounds)
        print(f"{name:8}{clients:>8}{rate:>10.0f}{p50 * 1e3:>9.2f}{p95 * 1e3:>9.2f}{cost * 1e6:>18.0f}")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--servers", type=int, default=2)
    arguments = parser.parse_args()
    context = multiprocessing.get_context("spawn")
    started = []

    def start(target, *extra: object) -> tuple[int, int]:
        here, there = context.Pipe()
        process = context.Process(target=target, args=(there, *extra), daemon=True)
        process.start()
        started.append((process, here))
        return here.recv(), process.pid

    with tempfile.TemporaryDirectory() as folder:
        pack = Path(folder) / "pack.json"
        pack.write_text(PACK.model_dump_json(by_alias=True))
        servers = [start(serve_policy) for _ in range(arguments.servers)]
        addresses = tuple(f"127.0.0.1:{port}" for port, _ in servers)
        front, front_pid = start(serve_gateway, addresses, str(pack))
        time.sleep(0.5)
        asyncio.run(
            drive(
                {"direct": servers[0][0], "gateway": front},
                {"direct": servers[0][1], "gateway": front_pid},
                seconds=arguments.seconds,
                rounds=arguments.rounds,
            )
        )
        for process, pipe in started:
            pipe.send("stop")
            process.join(10)


if __name__ == "__main__":
    main()
