"""Measures the operator on a real API server: time to the first child, API calls, memory and processor time.

    make cluster-tools && python tests/bench/bench_operator.py                    # 100, 1000 and 3000 runs
    python tests/bench/bench_operator.py --runs 100 --complete                    # on a fake node, to their end
    python tests/bench/bench_operator.py --idle 1000                              # finished runs, nothing to do

32 clients create all runs at once. Times are those of the API server's audit log, from the request that created a run
to the request that created its first Job. Without `--complete` there is no node, so every run stays at its first Job,
and only the operator and the API server work. With it kwok lets every pod succeed after 200 ms. Writes are those of the
operator; Leases and Events are counted separately. The API server and the job controller share the processors of this
machine with the operator.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from learntoask.core.json_object import Json
from learntoask.kube import JOB, Kind, Kube
from learntoask.kube import RUN as RUN_KIND
from worlds.cluster.applied_manifests import RUN, manifest
from worlds.cluster.cluster import Cluster
from worlds.cluster.control_plane import ControlPlane
from worlds.cluster.operator_process import ACCOUNT, Call, OperatorProcess, allow_everything, calls
from worlds.cluster.processes import Recorded

NAMESPACE = "bench"
_CLIENTS = 32
_PATIENCE = 1800.0
_ASIDE = ("leases", "events")
FLAGS = (
    "--store-uri=s3://artefacts/lta",
    "--listen=127.0.0.1",
    "--health-port=0",
    "--metrics-port=0",
    "--progress-port=0",
    "--lease-namespace=default",
    "--lease-time=15s",
    "--lease-renewal=5s",
    "--log-level=WARNING",
)


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What was measured: seconds, bytes, and calls per run."""

    runs: int
    first_child: list[float]
    writes: Counter[str]
    aside: int
    reads: Counter[str]
    seconds: float
    processor: float
    memory: int

    def row(self) -> str:
        waits = sorted(self.first_child)
        percent = statistics.quantiles(waits, n=20) if len(waits) > 1 else waits * 20
        writes = sum(self.writes.values()) / self.runs
        return (
            f"| {self.runs} | {statistics.median(waits):.1f} | {percent[18]:.1f} | {waits[-1]:.1f} | {writes:.1f} "
            f"| {self.aside / self.runs:.1f} | {self.memory / 1e6:.0f} | {self.processor:.1f} | {self.seconds:.0f} |"
        )


HEAD = (
    "| runs | first child p50 s | p95 s | last s | writes a run | leases, events a run | peak MB | CPU s "
    "| wall s |\n"
    "|---|---|---|---|---|---|---|---|---|"
)


def runs(count: int) -> list[Json]:
    names = (f"run-{index}" for index in range(count))
    return [manifest("LearnToAskRun", RUN, name=name, namespace=NAMESPACE) for name in names]


async def create(kubeconfig: Path, kind: Kind, bodies: list[Json]) -> None:
    """Create all objects at once, with 32 clients."""
    async with Kube.connect(kubeconfig=kubeconfig) as kube:
        waiting = iter(bodies)

        async def client() -> None:
            for body in waiting:
                await kube.create(kind, body)

        await asyncio.gather(*(client() for _ in range(_CLIENTS)))


async def finish_runs(kubeconfig: Path, count: int) -> None:
    """Write the status of a finished run to all runs."""
    time_over = "2026-01-31T12:00:00Z"
    condition = {
        "type": "Succeeded",
        "status": "True",
        "reason": "RunSucceeded",
        "message": "",
        "observedGeneration": 1,
        "lastTransitionTime": time_over,
    }
    status = {
        "observedGeneration": 1,
        "phase": "Succeeded",
        "reason": "RunSucceeded",
        "started": time_over,
        "finished": time_over,
        "conditions": [condition],
    }
    async with Kube.connect(kubeconfig=kubeconfig) as kube:
        names = iter(range(count))

        async def client() -> None:
            for index in names:
                await kube.patch_status(RUN_KIND, f"run-{index}", status, namespace=NAMESPACE)

        await asyncio.gather(*(client() for _ in range(_CLIENTS)))


def existing(cluster: Cluster, kind: Kind) -> int:
    """The number of objects, without the cost of listing thousands."""
    listing = cluster.request("GET", f"{kind.path(namespace=NAMESPACE)}?limit=1").body
    return len(listing["items"]) + int(listing["metadata"].get("remainingItemCount", 0))


async def finished_runs(kubeconfig: Path) -> int:
    async with Kube.connect(kubeconfig=kubeconfig) as kube:
        runs = await kube.list(RUN_KIND, namespace=NAMESPACE)
        return sum("finished" in run.get("status", {}) for run in runs)


@dataclass(frozen=True, kw_only=True)
class Controller:
    """Measures a process that acts as `user` on an API server that it shares with no other one."""

    plane: ControlPlane
    process: Recorded
    log: Path
    user: str

    def wait(self, count: int, condition: Callable[[], int]) -> None:
        deadline = time.monotonic() + _PATIENCE
        while (reached := condition()) < count:
            if not self.process.alive or time.monotonic() > deadline:
                print(self.log.read_text()[-3000:], file=sys.stderr)
                state = "works" if self.process.alive else "has ended"
                sys.exit(f"only {reached} of {count}: the controller {state}")
            time.sleep(1.0)

    def load(
        self, kind: Kind, bodies: list[Json], child: Kind, *, finished: Callable[[], int] | None = None
    ) -> Measured:
        """Create all `bodies` at once. Wait until each has a `child` and `finished` counts all of them."""
        cluster, count = Cluster(self.plane.kubeconfig, self.plane), len(bodies)
        before, begun = existing(cluster, child), time.time()
        asyncio.run(create(self.plane.kubeconfig, kind, bodies))
        self.wait(before + count, lambda: existing(cluster, child))
        if finished:
            self.wait(count, finished)
        else:
            time.sleep(10.0)  # status writes that follow the first child
        seconds = time.time() - begun
        processor, memory = self.process.processor_seconds, self.process.peak_memory
        noted = list(calls(self.plane.audit_log, since=begun))
        ours = [call for call in noted if call.user == self.user]
        return Measured(
            runs=count,
            first_child=first_children(noted, kind, child),
            writes=Counter(
                f"{one.verb} {one.resource}" for one in ours if one.writes and one.resource not in _ASIDE
            ),
            aside=sum(call.writes and call.resource in _ASIDE for call in ours),
            reads=Counter(f"{one.verb} {one.resource}" for one in ours if not one.writes),
            seconds=seconds,
            processor=processor,
            memory=memory,
        )


def first_children(noted: list[Call], kind: Kind, child: Kind) -> list[float]:
    """Seconds between the creations of each object and its first child, whose name begins with the object's."""
    created = {call.name: call.at for call in noted if call.verb == "create" and call.resource == kind.plural}
    waits: dict[str, float] = {}
    for call in noted:
        if call.resource == child.plural and call.status == 201:
            parent = "-".join(call.name.split("-")[:2])  # run-12-resolve-…
            waits.setdefault(parent, call.at - created[parent])
    return list(waits.values())


def measure(count: int, folder: Path, *, complete: bool) -> Measured:
    plane = ControlPlane(folder, audit=True)
    operator = OperatorProcess(plane, folder, FLAGS)
    try:
        plane.start()
        cluster = Cluster(plane.kubeconfig, plane)
        cluster.install_crds()
        allow_everything(plane)
        cluster.kubectl("create", "namespace", NAMESPACE)
        if complete:
            plane.start_fake_node()
        controller = Controller(plane=plane, process=operator.start(), log=operator.log, user=ACCOUNT)
        time.sleep(10.0)  # the operator takes the Lease and starts its watches
        finished = (lambda: asyncio.run(finished_runs(plane.kubeconfig))) if complete else None
        return controller.load(RUN_KIND, runs(count), JOB, finished=finished)
    finally:
        operator.kill()
        plane.stop()


def idle(count: int, folder: Path, *, seconds: float = 120.0) -> None:
    plane = ControlPlane(folder, audit=True)
    operator = OperatorProcess(plane, folder, FLAGS)
    try:
        plane.start()
        cluster = Cluster(plane.kubeconfig, plane)
        cluster.install_crds()
        allow_everything(plane)
        cluster.kubectl("create", "namespace", NAMESPACE)
        asyncio.run(create(plane.kubeconfig, RUN_KIND, runs(count)))
        asyncio.run(finish_runs(plane.kubeconfig, count))
        process = operator.start()
        time.sleep(45.0)  # the operator reconciles each run once
        begun, used = time.time(), process.processor_seconds
        time.sleep(seconds)
        noted = [call for call in calls(plane.audit_log, since=begun) if call.user == ACCOUNT]
        processor, memory = process.processor_seconds - used, process.peak_memory
    finally:
        operator.kill()
        plane.stop()
    by_kind = Counter(f"{call.verb} {call.resource}" for call in noted)
    minutes = seconds / 60
    print(f"{count} finished runs: {len(noted) / minutes:.1f} API calls a minute, ", end="")
    print(f"{processor / seconds:.2%} of a processor, peak {memory / 1e6:.0f} MB")
    for name, number in by_kind.most_common():
        print(f"  {name}: {number / minutes:.1f} a minute")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, nargs="+", default=[100, 1000, 3000])
    parser.add_argument(
        "--complete", action="store_true", help="let every pod succeed, to the end of the runs"
    )
    parser.add_argument("--idle", type=int, help="measure an operator with so many finished runs instead")
    parser.add_argument("--keep", type=Path, help="folder for logs that stay")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        place = arguments.keep or Path(temporary)
        if arguments.idle:
            folder = place / f"idle-{arguments.idle}"
            folder.mkdir(parents=True)
            idle(arguments.idle, folder)
            return
        rows = [HEAD]
        for count in arguments.runs:
            folder = place / str(count)
            folder.mkdir(parents=True)
            found = measure(count, folder, complete=arguments.complete)
            rows.append(found.row())
            calls_made = (found.writes + found.reads).most_common()
            print(f"{count}:", ", ".join(f"{name} {number}" for name, number in calls_made), file=sys.stderr)
        print("\n".join(rows))


if __name__ == "__main__":
    main()
