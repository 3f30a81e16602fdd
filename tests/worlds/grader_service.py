"""A scripted grader, served over real gRPC in this process or in one that can be killed."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractContextManager, asynccontextmanager
from pathlib import Path

import grpc
from learntoask.core.pack import Pack
from learntoask.grader_service.client import RemoteGrader
from learntoask.grader_service.config import GraderConfig
from learntoask.grader_service.retry import Timing
from learntoask.grader_service.server import GraderServer, ServedGraders
from learntoask.grading.grades import REFUSED, Grade, GradeCase, MissingGrade, question_grade
from learntoask.rpc.process import in_thread
from learntoask.wire import grader_pb2 as wire
from learntoask.wire.grader_pb2_grpc import GraderServiceStub

FIELDS = ("dish", "time", "place")
PACK = Pack.model_validate(
    {"name": "food", "tasks": [{"name": "order", "fields": [{"name": name} for name in FIELDS]}]}
)
DIGEST = "d" * 64
AGREEMENT = {"kappa": {"value": 0.9, "low": 0.8, "high": 0.95}, "questions": 12}


class ScriptedGrader:
    """A Grader that finds field names in responses and takes `slow` seconds per case.

    `hmm` in a response gives no grade, `crash` fails, `wait` waits for `release`.
    """

    def __init__(self, *, digest: str = DIGEST, slow: float = 0.0) -> None:
        self.digest = digest
        self.batches: list[list[GradeCase]] = []
        self.release = threading.Event()
        self._slow = slow

    def grade(self, cases: Sequence[GradeCase]) -> list[Grade | MissingGrade]:
        self.batches.append(list(cases))
        time.sleep(self._slow * len(cases))
        return [self._one(case) for case in cases]

    def _one(self, case: GradeCase) -> Grade | MissingGrade:
        if "hmm" in case.response:
            return MissingGrade("cannot tell hmm")
        if "crash" in case.response:
            raise RuntimeError("words that crash")
        if "wait" in case.response:
            self.release.wait(30)
        asked = frozenset(name for name in FIELDS if name in case.response)
        return question_grade(asked, target=case.target) if asked else REFUSED


def parts(grader: ScriptedGrader, name: str = "rewarding") -> ServedGraders:
    return ServedGraders(pack=PACK, graders={name: grader}, calibration={name: AGREEMENT})


def config(**settings: object) -> GraderConfig:
    return GraderConfig(**{"port": 0, "drain_seconds": 5.0} | settings)


@asynccontextmanager
async def serving(grader: ScriptedGrader, **settings: object) -> AsyncIterator[GraderServer]:
    server = GraderServer(config(**settings), parts(grader))
    await server.start()
    try:
        yield server
    finally:
        grader.release.set()
        await server.drain()


@asynccontextmanager
async def stub_of(server: GraderServer) -> AsyncIterator[GraderServiceStub]:
    async with grpc.aio.insecure_channel(server.address) as channel:
        yield GraderServiceStub(channel)


def in_background(
    grader: ScriptedGrader, *, name: str = "rewarding", **settings: object
) -> AbstractContextManager[GraderServer]:
    """Serve the grader from a thread, for callers without an event loop."""

    async def make() -> GraderServer:
        return GraderServer(config(**settings), parts(grader, name))

    return in_thread(make, name="grader-server")


def remote(
    address: str, *, digest: str = DIGEST, timeout: float = 20.0, retry_for: float = 20.0, **settings: object
) -> RemoteGrader:
    hedge = settings.pop("hedge_after", None)
    timing = Timing(timeout=timeout, retry_for=retry_for, hedge_after=hedge)
    return RemoteGrader(address, **{"grader": "rewarding", "digest": digest, "timing": timing} | settings)


def until_answered(grader: RemoteGrader) -> None:
    """Repeat until the channel has reconnected to a service that is back."""
    deadline = time.monotonic() + 60
    while not isinstance(grader.grade([case("place?")])[0], Grade):
        assert time.monotonic() < deadline, "it is not found again"


def case(response: str, target: str = "dish", **fields: object) -> GradeCase:
    return GradeCase(
        **{
            "session_id": "s",
            "task": "order",
            "response": response,
            "target": frozenset(target.split()),
            **fields,
        }
    )


def wire_case(response: str, target: Sequence[str] = ("dish",), **fields: object) -> wire.GradeCase:
    return wire.GradeCase(
        **{"session_id": "s", "task": "order", "response": response, "target": target, **fields}
    )


def samples(server: GraderServer, name: str) -> Mapping[tuple[str, ...], float]:
    """Return the samples of a metric by their label values."""
    return {
        tuple(sample.labels.values()): sample.value
        for family in server.metrics.registry.collect()
        for sample in family.samples
        if sample.name == name
    }


PROGRAM = """
import sys
from worlds.grader_service import ScriptedGrader, config, parts
from learntoask.grader_service.server import GraderServer
from learntoask.rpc.process import run

async def make():
    settings = config(port=int(sys.argv[1]), max_batch=2, batch_wait_seconds=0)
    return GraderServer(settings, parts(ScriptedGrader(digest=sys.argv[2], slow=float(sys.argv[3]))))

run(make, log_level="ERROR", ready=lambda address: print(address, flush=True))
"""


class Process:
    """A service in a separate process, always on the same port."""

    def __init__(self, *, slow: float = 0.0) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self._port = free.getsockname()[1]
        self._slow = slow
        self._process: subprocess.Popen[str] | None = None

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self._port}"

    def start(self, digest: str = DIGEST) -> None:
        """Start the service and wait until it listens."""
        self._process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(self._port), digest, str(self._slow)],
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout.readline().strip() == self.address

    def kill(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait(30)
            self._process.stdout.close()
            self._process = None
