"""The grader service's server: gives each grader the engine that suits it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import JsonValue

from learntoask.core.pack import Pack
from learntoask.grader_service.batching import BatchingEngine
from learntoask.grader_service.config import GraderConfig
from learntoask.grader_service.judge_engine import JudgeEngine
from learntoask.grader_service.metrics import GraderMetrics
from learntoask.grader_service.service import SERVICE, GraderService, OfferedGrader, handlers
from learntoask.grading.grades import Grader
from learntoask.grading.judge.judge import Judge
from learntoask.rpc.server import GrpcServer


@dataclass(frozen=True, kw_only=True)
class ServedGraders:
    """The graders of a service by name, with the record of each grader's agreement with held-out labels."""

    pack: Pack
    graders: Mapping[str, Grader]
    calibration: Mapping[str, Mapping[str, JsonValue]]


class GraderServer(GrpcServer):
    """Answers GraderService with the graders of a run; on drain, the graders end last."""

    def __init__(self, config: GraderConfig, served: ServedGraders) -> None:
        self.config = config
        self.metrics = GraderMetrics()
        self._offered = {
            name: self._offer(name, grader, served.calibration.get(name, {}))
            for name, grader in served.graders.items()
        }
        service = GraderService(self._offered, pack=served.pack, config=config, metrics=self.metrics)
        self.metrics.watch(lambda: service.in_flight)
        super().__init__(
            config, service, name=SERVICE, handlers=handlers(service), registry=self.metrics.registry
        )

    async def close(self) -> None:
        """End the graders."""
        for offered in self._offered.values():
            await offered.engine.close()

    def _offer(self, name: str, grader: Grader, calibration: Mapping[str, JsonValue]) -> OfferedGrader:
        if isinstance(grader, Judge):
            return OfferedGrader(
                engine=JudgeEngine(grader),
                digest=grader.digest,
                kind="llm",
                context_messages=grader.settings.context_messages,
                calibration=calibration,
            )
        engine = BatchingEngine(
            grader,
            max_batch=self.config.max_batch,
            wait_seconds=self.config.batch_wait_seconds,
            on_batch=self.metrics.batches(name).observe,
        )
        return OfferedGrader(
            engine=engine, digest=grader.digest, kind="fields", context_messages=0, calibration=calibration
        )
