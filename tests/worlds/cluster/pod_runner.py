"""A node of processes: it runs the commands of pods as processes on this machine instead of containers.

Like a kubelet it reports a heartbeat, creates volumes, starts the process, calls the readiness probe, serves logs,
reports termination messages, and ends pods that are deleted. Of a volume that it cannot mount it tells by a Warning
Event only, and tries again. Each pod has its own address below 127.0.0.0/8, so that
all pods can listen at the same port. There are no images, no isolation and no limits.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import threading
import traceback
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import grpc
import httpx2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from learntoask.core.json_object import Json
from learntoask.kube import EVENT, LEASE, NODE, POD, SERVICE, Kube, KubeError, NotFound, follow

from worlds.cluster.pod_logs import LogServer
from worlds.cluster.pod_place import NotHere, NotMounted, PodPlace

NAME = "process-node"
_LEASES = "kube-node-lease"
_BEAT_SECONDS = 5.0
_PROBE_SECONDS = 0.5
_RESTART_SECONDS = 1.0
_FIRST_MOUNT_SECONDS, _LONGEST_MOUNT_SECONDS = (
    0.5,
    122.0,
)  # between two tries; doubled after each, as a kubelet does


def _now(*, micro: bool = False) -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S" + (".%fZ" if micro else "Z"))


@dataclass
class RunningPod:
    """A pod that this runner has started, with its process."""

    place: PodPlace
    process: subprocess.Popen[bytes] | None = None
    started: str = ""
    restarts: int = 0
    task: asyncio.Task[None] | None = None
    ready: bool = False
    ending: bool = False


@dataclass
class PodRunner:
    """Runs the cluster's pods in a thread until the context ends, with a log per pod in `folder`.

    `modules` run in place of subcommands of `lta`, such as another policy server for `serve`.
    """

    kubeconfig: Path
    folder: Path
    modules: Mapping[str, str] = field(default_factory=dict)
    running: dict[str, RunningPod] = field(default_factory=dict)

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
            running
            for running in list(self.running.values())
            if (running.place.pod["metadata"]["namespace"], running.place.pod["metadata"]["name"])
            == (namespace, pod)
        ]
        return not any(running.process is not None and running.process.poll() is None for running in found)

    def _work(self) -> None:
        self._main = self._loop.create_task(self._follow())
        with suppress(asyncio.CancelledError):
            self._loop.run_until_complete(self._main)
        for (
            running
        ) in self.running.values():  # before the thread ends: by pdeathsig they would be killed with it
            if running.process and running.process.poll() is None:
                running.process.kill()
                running.process.wait(30)
        # Pods of other tests would be put on a node that nobody serves any more.
        with suppress(KubeError, OSError):
            self._loop.run_until_complete(self._delete_node())
        self._loop.close()

    async def _delete_node(self) -> None:
        async with Kube.connect(kubeconfig=self.kubeconfig) as kube:
            await kube.delete(NODE, NAME)

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
        """Register a node that is ready and has room for all pods."""
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
        """Write the addresses of the ready pods behind every Service to the file of names, which stands for the DNS."""
        names = {}
        for service in self._services:
            metadata, selector = service["metadata"], service["spec"].get("selector") or {}
            unready = service["spec"].get("publishNotReadyAddresses", False)
            names[f"{metadata['name']}.{metadata['namespace']}.svc"] = [
                running.place.address
                for running in self.running.values()
                if (running.ready or unready)
                and not running.ending
                and selector
                and running.place.pod["metadata"]["namespace"] == metadata["namespace"]
                and selector.items() <= running.place.pod["metadata"].get("labels", {}).items()
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
            # The port of the logs tells apart runners that work at the same time.
            address = f"127.{self._logs.port >> 8}.{self._logs.port & 255}.{self._count % 250 + 1}"
            root = self.folder / f"{name}-{uid[:8]}"
            place = PodPlace(root=root, address=address, names=self._names, pod=pod, modules=self.modules)
            self.running[uid] = RunningPod(place)
            if not leaving:
                self.running[uid].task = group.create_task(self._live_apart(kube, self.running[uid]))
        if leaving:
            running = self.running.get(uid)
            if running is None or not running.ending:
                if running:
                    running.ending = True
                    self._tell_names()
                group.create_task(self._leave(kube, pod, running))

    def _gone(self, pod: Json) -> None:
        running = self.running.pop(pod["metadata"]["uid"], None)
        if running and running.process and running.process.poll() is None:
            running.process.kill()
        self._tell_names()

    async def _leave(self, kube: Kube, pod: Json, running: RunningPod | None) -> None:
        """End the pod's process within its grace period, and delete the pod at the API server."""
        grace = pod["metadata"].get("deletionGracePeriodSeconds") or 0
        if running and running.process and running.process.poll() is None:
            running.process.send_signal(signal.SIGTERM)
            with suppress(TimeoutError):
                async with asyncio.timeout(grace + 1):
                    while running.process.poll() is None:
                        await asyncio.sleep(0.05)
            if running.process.poll() is None:
                running.process.kill()
        if running and running.task:
            await asyncio.wait([running.task], timeout=10)
        metadata = pod["metadata"]
        path = POD.path(namespace=metadata["namespace"], name=metadata["name"])
        now: Json = {"gracePeriodSeconds": 0, "preconditions": {"uid": metadata["uid"]}}
        with suppress(KubeError):
            body = {"apiVersion": "v1", "kind": "DeleteOptions", **now}
            await kube._transport.call("DELETE", path, body=body)

    async def _live_apart(self, kube: Kube, running: RunningPod) -> None:
        """Run the pod. What this runner cannot do for one pod must not end all others."""
        try:
            await self._live(kube, running)
        except Exception as error:
            traceback.print_exc()
            waiting = {"waiting": {"reason": "RunnerFailed", "message": f"{type(error).__name__}: {error}"}}
            with suppress(KubeError):
                await self._tell(kube, running, "Pending", waiting)

    async def _live(self, kube: Kube, running: RunningPod) -> None:
        """Run the pod's process, again and again if its restart policy says so."""
        pod = running.place.pod
        try:
            await self._mount(kube, running)
            command, environment = running.place.command(), running.place.environment()
        except (NotHere, KubeError, OSError) as error:
            waiting = {"waiting": {"reason": "CreateContainerConfigError", "message": str(error)}}
            await self._tell(kube, running, "Pending", waiting)
            return
        always = pod["spec"].get("restartPolicy") == "Always"
        while not running.ending:
            running.place.termination_log.unlink(missing_ok=True)
            running.started = _now()
            with (self.folder / f"{pod['metadata']['name']}.log").open("ab") as log:
                running.process = subprocess.Popen(
                    ["setpriv", "--pdeathsig", "KILL", "--", *command],
                    env=environment,
                    cwd=running.place.root,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )
            await self._tell(kube, running, "Running", {"running": {"startedAt": running.started}})
            code = await self._watch(kube, running)
            running.ready = False
            self._tell_names()
            ended = {"terminated": self._terminated(running, code)}
            if not always:
                await self._tell(kube, running, "Failed" if code else "Succeeded", ended)
                return
            running.restarts += 1
            await self._tell(kube, running, "Running", ended)
            await asyncio.sleep(_RESTART_SECONDS)

    async def _mount(self, kube: Kube, running: RunningPod) -> None:
        """Create the pod's volumes, which may take until somebody creates what they hold."""
        tries, pause = 0, _FIRST_MOUNT_SECONDS
        while not running.ending:
            try:
                return await running.place.furnish(kube)
            except NotMounted as error:
                tries += 1
                if tries == 1:
                    await self._tell(kube, running, "Pending", {"waiting": {"reason": "ContainerCreating"}})
                await self._warn(kube, running.place.pod, "FailedMount", str(error), count=tries)
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_MOUNT_SECONDS)

    @staticmethod
    async def _warn(kube: Kube, pod: Json, reason: str, message: str, *, count: int) -> None:
        metadata = pod["metadata"]
        event = {
            "metadata": {"name": f"{metadata['name']}.{reason.lower()}", "namespace": metadata["namespace"]},
            "involvedObject": {
                "apiVersion": "v1",
                "kind": "Pod",
                "name": metadata["name"],
                "namespace": metadata["namespace"],
                "uid": metadata["uid"],
            },
            "type": "Warning",
            "reason": reason,
            "message": message,
            "lastTimestamp": _now(),
            "count": count,
            "source": {"component": "kubelet", "host": NAME},
        }
        with suppress(KubeError):  # its namespace may be ending
            await kube.apply(EVENT, event)

    async def _watch(self, kube: Kube, running: RunningPod) -> int:
        """Probe the readiness of the process until it ends, and return its exit code."""
        assert running.process
        probe = running.place.container.get("readinessProbe", {})
        while (code := running.process.poll()) is None:
            ready = await self._passes(running, probe)
            if ready != running.ready and running.process.poll() is None:
                running.ready = ready
                self._tell_names()
                await self._tell(kube, running, "Running", {"running": {"startedAt": running.started}})
            await asyncio.sleep(_PROBE_SECONDS)
        return code if code >= 0 else 128 - code

    async def _passes(self, running: RunningPod, probe: Json) -> bool:
        if "grpc" in probe:
            return await self._serves(running, probe["grpc"]["port"])
        if "httpGet" in probe:
            asked = probe["httpGet"]
            return await self._answers(running, asked["port"], asked["path"])
        return True

    @staticmethod
    async def _answers(running: RunningPod, port: int, path: str) -> bool:
        """Whether the process answers an HTTP request with success. Named ports are not looked up."""
        if not isinstance(port, int):
            return True
        with suppress(httpx2.HTTPError):
            async with httpx2.AsyncClient(timeout=5, trust_env=False) as client:
                return (await client.get(f"http://{running.place.address}:{port}{path}")).is_success
        return False

    @staticmethod
    async def _serves(running: RunningPod, port: int) -> bool:
        async with grpc.aio.insecure_channel(f"{running.place.address}:{port}") as channel:
            try:
                stub = health_pb2_grpc.HealthStub(channel)
                answer = await stub.Check(health_pb2.HealthCheckRequest(), timeout=5)
            except grpc.aio.AioRpcError:
                return False
        return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)

    def _terminated(self, running: RunningPod, code: int) -> Json:
        words = running.place.termination_log
        message = words.read_text(errors="replace") if words.exists() else ""
        if not message and code:  # FallbackToLogsOnError
            message = self.log(running.place.pod["metadata"]["name"])[-2048:]
        return {
            "exitCode": code,
            "reason": "Error" if code else "Completed",
            "message": message[:4096],
            "startedAt": running.started,
            "finishedAt": _now(),
        }

    async def _tell(self, kube: Kube, running: RunningPod, phase: str, state: Json) -> None:
        pod, container = running.place.pod, running.place.container
        flag = "True" if running.ready else "False"
        conditions = {"PodScheduled": "True", "Initialized": "True", "ContainersReady": flag, "Ready": flag}
        status = {
            "phase": phase,
            "podIP": running.place.address,
            "podIPs": [{"ip": running.place.address}],
            "startTime": running.started or None,
            "conditions": [
                {"type": kind, "status": value, "lastTransitionTime": _now()}
                for kind, value in conditions.items()
            ],
            "containerStatuses": [
                {
                    "name": container["name"],
                    "image": container["image"],
                    "imageID": "",
                    "ready": running.ready,
                    "started": "running" in state,
                    "restartCount": running.restarts,
                    "state": state,
                }
            ],
        }
        metadata = pod["metadata"]
        with suppress(NotFound):
            await kube.patch_status(POD, metadata["name"], status, namespace=metadata["namespace"])


def main() -> None:
    """Run pods for a cluster without nodes until Ctrl-C, from the folder tests:
    `python -m worlds.cluster.pod_runner KUBECONFIG FOLDER`."""
    import sys  # noqa: PLC0415

    with PodRunner(Path(sys.argv[1]), Path(sys.argv[2])), suppress(KeyboardInterrupt):
        signal.pause()


if __name__ == "__main__":
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
    main()
