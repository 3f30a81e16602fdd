"""The grader service: wires graders, service and listener together, and drains them in order."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import JsonValue

from learntoask.core.pack import Pack
from learntoask.grader_service.batching import Batching
from learntoask.grader_service.config import GraderConfig
from learntoask.grader_service.judge_engine import Asking
from learntoask.grader_service.metrics import GraderMetrics
from learntoask.grader_service.service import SERVICE, GraderService, Offered, handlers
from learntoask.grading.grades import Grader
from learntoask.grading.judge.judge import Judge
from learntoask.rpc.listener import Listener


@dataclass(frozen=True, kw_only=True)
class ServedGraders:
    """What a service serves: graders by name, and the agreement record of each."""

    pack: Pack
    graders: Mapping[str, Grader]
    calibration: Mapping[str, Mapping[str, JsonValue]]


class GraderServer:
    """`start`, then `drain` once. Make it inside the event loop that serves it."""

    def __init__(self, config: GraderConfig, parts: ServedGraders) -> None:
        self.config = config
        self.metrics = GraderMetrics()
        self._offered = {
            name: self._offer(name, grader, parts.calibration.get(name, {}))
            for name, grader in parts.graders.items()
        }
        service = GraderService(self._offered, pack=parts.pack, config=config, metrics=self.metrics)
        self.metrics.watch(lambda: service.in_flight)
        self._listener = Listener(
            config, service, name=SERVICE, handlers=handlers(service), registry=self.metrics.registry
        )

    async def start(self) -> None:
        await self._listener.start()

    @property
    def address(self) -> str:
        return self._listener.address

    @property
    def port(self) -> int:
        return self._listener.port

    @property
    def metrics_port(self) -> int | None:
        return self._listener.metrics_port

    async def drain(self) -> None:
        """Not serving, no new calls, cases that are here are graded, the graders end. Once."""
        await self._listener.drain(close=self._close)

    async def _close(self) -> None:
        for offered in self._offered.values():
            await offered.engine.close()

    def _offer(self, name: str, grader: Grader, calibration: Mapping[str, JsonValue]) -> Offered:
        if isinstance(grader, Judge):
            return Offered(
                engine=Asking(grader),
                digest=grader.digest,
                kind="llm",
                context_messages=grader.settings.context_messages,
                calibration=calibration,
            )
        engine = Batching(
            grader,
            max_batch=self.config.max_batch,
            wait_seconds=self.config.batch_wait_seconds,
            seen=self.metrics.batches(name).observe,
        )
        return Offered(
            engine=engine, digest=grader.digest, kind="fields", context_messages=0, calibration=calibration
        )
