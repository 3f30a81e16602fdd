"""A policy server of known quality, which stands for `lta serve` in a pod: `python -m worlds.known_policy --model URI`.

Its engine asks for the fields that the user has not given, by the patterns of the pack, and stops when all are known. A
number at the end of the model's address is the percent of conversations in which it stops before: at its first answer.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from learntoask.core.pack import Pack, load_pack
from learntoask.core.prompt import Context
from learntoask.core.records import STOP
from learntoask.labeling.repeated_questions import RepeatReader
from learntoask.rollout.assignment import position
from learntoask.rpc.process import run
from learntoask.serving.config import ServeConfig, read_config
from learntoask.serving.engines.protocol import Draft, TokenUsage
from learntoask.serving.server import PolicyServer, ServedPolicy


class KnownEngine:
    """Decides by the patterns of `pack`. In `hasty` percent of the conversations it stops at once."""

    stop_tokens = (1,)

    def __init__(self, pack: Pack, *, hasty: int) -> None:
        self._pack, self._hasty = pack, hasty
        self._reader = RepeatReader(pack)

    async def decide(self, context: Context, *, barred: tuple[tuple[int, ...], ...] = ()) -> Draft:
        return Draft(self._answer(context), -0.5, TokenUsage(10 * len(context.messages), 0, 7))

    def _answer(self, context: Context) -> str:
        read = self._reader.read(context.task, context.messages)
        first = context.messages[0].content
        if read.all_known or (
            len(context.messages) == 1 and position(first, "stops at once") * 100 < self._hasty
        ):
            return STOP
        questions = [
            question for field in self._pack.task_by_name[context.task].fields for question in field.questions
        ]
        return next((one for one in questions if read.repetition(one) is None), self._pack.fallback)

    def cache_bytes(self) -> int:
        return 0

    async def close(self) -> None:
        return


def percent_of(model: str) -> int:
    """Return the number at the end of a model's address."""
    return int(model.rpartition("-")[2])


def serve(model: str, config: ServeConfig) -> None:
    """Serve until SIGTERM, as `lta serve` does. The revision in decisions is the last part of the address."""
    pack = load_pack(config.pack)
    engine = KnownEngine(pack, hasty=percent_of(model))
    policy = ServedPolicy(engine=engine, pack=pack, revision=model.rpartition("/")[2], shape="")

    async def make() -> PolicyServer:
        return PolicyServer(config, policy)

    run(make, name="learntoask-policy-server", log_level="INFO")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", required=True)
    parser.add_argument("--pack", type=Path, required=True)
    given = parser.parse_args()
    serve(given.model, read_config(os.environ, {"model": Path(), "pack": given.pack}))
