"""A node of processes: what pods would run in containers runs here, on loopback, with the pods' own commands.

It does what a kubelet does of it: the node's heartbeat, volumes, the process, readiness by gRPC probes, logs, last
words, and the end of pods that are deleted. Every pod has an address of its own below 127.0.0.0/8, so that all may
listen at the same port. No images, no isolation, no limits.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from learntoask.core.json_object import Json
from learntoask.kube import LEASE, NODE, POD, SERVICE, Kube, KubeError, NotFound, follow

from worlds.cluster.pod_logs import LogServer
from worlds.cluster.pod_place import NotHere, PodPlace

NAME = "process-node"
_LEASES = "kube-node-lease"
_BEAT_SECONDS = 5.0
_PROBE_SECONDS = 0.5
_RESTART_SECONDS = 1.0


def _now(*, micro: bool = False) -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S" + (".%fZ" if micro else "Z"))


@dataclass
class Running:
    place: PodPlace
    process: subprocess.Popen[bytes] | None = None
    started: str = ""
    restarts: int = 0
    task: asyncio.Task[None] | None = None
    ready: bool = False
    ending: bool = False


@dataclass
class PodRunner:
    """`with` it: a thread follows the pods of the cluster until the block ends, and no process outlives it. `folder`
    holds a log per pod."""

    kubeconfig: Path
    folder: Path
    running: dict[str, Running] = field(default_factory=dict)

    def __enter__(self) -> PodRunner:
        self.folder.mkdir(parents=True, exist_ok=True)
        self._names = self.folder / "names.json"
        self._names.write_text("{}")
        self._services: list[Json] = []
        self._count = 0
        self._logs = LogServer(self.kubeconfig.parent / "pki", log=self._log_of, over=self._over)
        self._loop = asyncio.new_event_loop()
        self._main: asyncio.Task[None] | None = None
        self._thread = threading.Thread(target=self._work, name="pods", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._loop.call_soon_threadsafe(lambda: self._main and self._main.cancel())
        self._thread.join(60)
        self._logs.close()

    def log(self, pod: str) -> str:
        path = self.folder / f"{pod}.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def _log_of(self, namespace: str, pod: str) -> Path | None:
        path = self.folder / f"{pod}.log"
        return path if path.exists() else None

    def _over(self, namespace: str, pod: str) -> bool:
        found = [
            one
            for one in list(self.running.values())
            if (one.place.pod["metadata"]["namespace"], one.place.pod["metadata"]["name"]) == (namespace, pod)
        ]
        return not any(one.process is not None and one.process.poll() is None for one in found)

    def _work(self) -> None:
        self._main = self._loop.create_task(self._follow())
        with suppress(asyncio.CancelledError):
            self._loop.run_until_complete(self._main)
        for one in self.running.values():  # before the thread ends, which would end them too
            if one.process and one.process.poll() is None:
                one.process.kill()
                one.process.wait(30)
        self._loop.close()

    async def _follow(self) -> None:
        async with Kube.connect(kubeconfig=self.kubeconfig) as kube:
            await self._join(kube)
            async with asyncio.TaskGroup() as group:
                group.create_task(self._beat(kube))
                group.create_task(self._follow_services(kube))
                async for change in follow(kube, POD):
                    for pod in change.items:
                        if change.how == "gone":
                            self._gone(pod)
                        elif pod["spec"].get("nodeName") == NAME:
                            self._seen(kube, group, pod)

    async def _join(self, kube: Kube) -> None:
        """A node that is ready and has room for everything."""
        node = {
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {"name": NAME, "labels": {"type": "processes"}},
        }
        room = {"cpu": "100k", "memory": "100Ti", "pods": "10k", "nvidia.com/gpu": "100"}
        await kube.apply(NODE, node)
        lease = {"metadata": {"name": NAME, "namespace": _LEASES}, "spec": self._held()}
        await kube.apply(LEASE, lease)
        ready = {
            "type": "Ready",
            "status": "True",
            "reason": "ProcessesRun",
            "message": "",
            "lastHeartbeatTime": _now(),
            "lastTransitionTime": _now(),
        }
        status = {
            "allocatable": room,
            "capacity": room,
            "conditions": [ready],
            "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": self._logs.port}},
        }
        await kube.patch_status(NODE, NAME, status)

    async def _beat(self, kube: Kube) -> None:
        while True:
            await asyncio.sleep(_BEAT_SECONDS)
            with suppress(KubeError):
                await kube.patch(LEASE, NAME, {"spec": self._held()}, namespace=_LEASES)

    @staticmethod
    def _held() -> Json:
        return {"holderIdentity": NAME, "leaseDurationSeconds": 40, "renewTime": _now(micro=True)}

    async def _follow_services(self, kube: Kube) -> None:
        known: dict[str, Json] = {}
        async for change in follow(kube, SERVICE):
            for service in change.items:
                if change.how == "gone":
                    known.pop(service["metadata"]["uid"], None)
                else:
                    known[service["metadata"]["uid"]] = service
            self._services = list(known.values())
            self._tell_names()

    def _tell_names(self) -> None:
        """Addresses of the ready pods behind every Service, as a cluster's DNS has them."""
        names = {}
        for service in self._services:
            metadata, selector = service["metadata"], service["spec"].get("selector") or {}
            unready = service["spec"].get("publishNotReadyAddresses", False)
            names[f"{metadata['name']}.{metadata['namespace']}.svc"] = [
                one.place.address
                for one in self.running.values()
                if (one.ready or unready)
                and not one.ending
                and selector
                and one.place.pod["metadata"]["namespace"] == metadata["namespace"]
                and selector.items() <= one.place.pod["metadata"].get("labels", {}).items()
            ]
        partial = self._names.with_suffix(".partial")
        partial.write_text(json.dumps(names))
        partial.replace(self._names)

    def _seen(self, kube: Kube, group: asyncio.TaskGroup, pod: Json) -> None:
        uid, name = pod["metadata"]["uid"], pod["metadata"]["name"]
        over = pod["status"].get("phase") in ("Succeeded", "Failed")
        leaving = "deletionTimestamp" in pod["metadata"]
        if uid not in self.running and not over:
            self._count += 1
            address = f"127.1.{self._count // 250}.{self._count % 250 + 1}"
            root = self.folder / f"{name}-{uid[:8]}"
            place = PodPlace(root=root, address=address, names=self._names, pod=pod)
            self.running[uid] = Running(place)
            if not leaving:
                self.running[uid].task = group.create_task(self._live(kube, self.running[uid]))
        if leaving:
            one = self.running.get(uid)
            if one is None or not one.ending:
                if one:
                    one.ending = True
                    self._tell_names()
                group.create_task(self._leave(kube, pod, one))

    def _gone(self, pod: Json) -> None:
        one = self.running.pop(pod["metadata"]["uid"], None)
        if one and one.process and one.process.poll() is None:
            one.process.kill()
        self._tell_names()

    async def _leave(self, kube: Kube, pod: Json, one: Running | None) -> None:
        """End the pod's process within its grace period, and say so to the API server."""
        grace = pod["metadata"].get("deletionGracePeriodSeconds") or 0
        if one and one.process and one.process.poll() is None:
            one.process.send_signal(signal.SIGTERM)
            with suppress(TimeoutError):
                async with asyncio.timeout(grace + 1):
                    while one.process.poll() is None:
                        await asyncio.sleep(0.05)
            if one.process.poll() is None:
                one.process.kill()
        if one and one.task:
            await asyncio.wait([one.task], timeout=10)
        metadata = pod["metadata"]
        path = POD.path(namespace=metadata["namespace"], name=metadata["name"])
        now: Json = {"gracePeriodSeconds": 0, "preconditions": {"uid": metadata["uid"]}}
        with suppress(KubeError):
            body = {"apiVersion": "v1", "kind": "DeleteOptions", **now}
            await kube._transport.call("DELETE", path, body=body)

    async def _live(self, kube: Kube, one: Running) -> None:
        """The pod's life: its process, again and again where it is to be restarted."""
        pod = one.place.pod
        try:
            await one.place.furnish(kube)
            command, environment = one.place.command(), one.place.environment()
        except (NotHere, KubeError) as error:
            waiting = {"waiting": {"reason": "CreateContainerConfigError", "message": str(error)}}
            await self._tell(kube, one, "Pending", waiting)
            return
        always = pod["spec"].get("restartPolicy") == "Always"
        while not one.ending:
            one.place.termination_log.unlink(missing_ok=True)
            one.started = _now()
            with (self.folder / f"{pod['metadata']['name']}.log").open("ab") as log:
                one.process = subprocess.Popen(
                    ["setpriv", "--pdeathsig", "KILL", "--", *command],
                    env=environment,
                    cwd=one.place.root,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )
            await self._tell(kube, one, "Running", {"running": {"startedAt": one.started}})
            code = await self._watch(kube, one)
            one.ready = False
            self._tell_names()
            ended = {"terminated": self._terminated(one, code)}
            if not always:
                await self._tell(kube, one, "Failed" if code else "Succeeded", ended)
                return
            one.restarts += 1
            await self._tell(kube, one, "Running", ended)
            await asyncio.sleep(_RESTART_SECONDS)

    async def _watch(self, kube: Kube, one: Running) -> int:
        """Exit code of the process; on the way it is asked whether it is ready."""
        assert one.process
        probe = one.place.container.get("readinessProbe", {}).get("grpc")
        while (code := one.process.poll()) is None:
            ready = await self._serves(one, probe["port"]) if probe else True
            if ready != one.ready and one.process.poll() is None:
                one.ready = ready
                self._tell_names()
                await self._tell(kube, one, "Running", {"running": {"startedAt": one.started}})
            await asyncio.sleep(_PROBE_SECONDS)
        return code if code >= 0 else 128 - code

    @staticmethod
    async def _serves(one: Running, port: int) -> bool:
        async with grpc.aio.insecure_channel(f"{one.place.address}:{port}") as channel:
            try:
                stub = health_pb2_grpc.HealthStub(channel)
                answer = await stub.Check(health_pb2.HealthCheckRequest(), timeout=5)
            except grpc.aio.AioRpcError:
                return False
        return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)

    def _terminated(self, one: Running, code: int) -> Json:
        words = one.place.termination_log
        message = words.read_text(errors="replace") if words.exists() else ""
        if not message and code:  # FallbackToLogsOnError
            message = self.log(one.place.pod["metadata"]["name"])[-2048:]
        return {
            "exitCode": code,
            "reason": "Error" if code else "Completed",
            "message": message[:4096],
            "startedAt": one.started,
            "finishedAt": _now(),
        }

    async def _tell(self, kube: Kube, one: Running, phase: str, state: Json) -> None:
        pod, container = one.place.pod, one.place.container
        flag = "True" if one.ready else "False"
        conditions = {"PodScheduled": "True", "Initialized": "True", "ContainersReady": flag, "Ready": flag}
        status = {
            "phase": phase,
            "podIP": one.place.address,
            "podIPs": [{"ip": one.place.address}],
            "startTime": one.started or None,
            "conditions": [
                {"type": kind, "status": value, "lastTransitionTime": _now()}
                for kind, value in conditions.items()
            ],
            "containerStatuses": [
                {
                    "name": container["name"],
                    "image": container["image"],
                    "imageID": "",
                    "ready": one.ready,
                    "started": "running" in state,
                    "restartCount": one.restarts,
                    "state": state,
                }
            ],
        }
        metadata = pod["metadata"]
        with suppress(NotFound):
            await kube.patch_status(POD, metadata["name"], status, namespace=metadata["namespace"])


def main() -> None:
    """Run pods for a cluster without nodes until Ctrl-C: `python -m worlds.cluster.pod_runner KUBECONFIG FOLDER`."""
    import sys  # noqa: PLC0415

    with PodRunner(Path(sys.argv[1]), Path(sys.argv[2])), suppress(KeyboardInterrupt):
        signal.pause()


if __name__ == "__main__":
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
    main()
