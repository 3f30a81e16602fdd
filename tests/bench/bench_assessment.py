"""Measure what an assessment costs in service: a policy that writes one against a policy that does not.

    lta sweep examples/star/targets.yaml
    python tests/bench/bench_assessment.py star-targets-plain star-targets-assessment
        --logs ../shared/data/star/validation.jsonl [--home .lta] [--sessions 40] [--warm-up 40] [--clients 1]
        [--rounds 3] [--check]

Both SFT policies answer at every expert turn of the same logged conversations, one conversation after another for each
client, by the engine that serves them. Engines are new in each round and take turns; each answers --warm-up sessions
before it is measured, because answers that resemble earlier ones take fewer steps. A decision's time is processor time,
which other work on the machine changes less than the clock. `--check` exits with 1 if the assessment costs over 25 %.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from learntoask.core.manifest import Dataset
from learntoask.core.prompt import Context
from learntoask.core.records import Session
from learntoask.labeling.logs.reader import LogReader
from learntoask.local.view import RunView, view
from learntoask.policy.model import Policy, best_device
from learntoask.policy.precision import resolve_precision
from learntoask.policy.prompt import PromptLimits
from learntoask.serving.engines.transformers import TransformersEngine

GOAL = 1.25


@dataclass(frozen=True)
class Measured:
    """The decisions of one round: processor time and latencies in seconds, tokens of the answers."""

    processor: float
    latencies: tuple[float, ...]
    tokens: int

    @property
    def each(self) -> float:
        """Processor time of a decision, in seconds."""
        return self.processor / len(self.latencies)


def policy_of(run: RunView) -> Policy:
    train = run.sources.spec.train
    return Policy.load(
        run.output("sft") / "model",
        run.sources.pack,
        limits=PromptLimits.of(train),
        dtype=resolve_precision(train.precision, best_device()),
    )


def sessions_of(run: RunView, logs: Path, most: int) -> list[Session]:
    entries = LogReader(run.sources.pack, Dataset(uri=logs.name)).read(logs)
    return [entry.session for entry in entries if entry.session is not None][:most]


async def measured(
    policy: Policy,
    sessions: Sequence[Session],
    warm_up: Sequence[Session],
    *,
    clients: int,
    max_new_tokens: int,
) -> Measured:
    """Measure a new engine on `sessions`, after it has answered those of `warm_up`."""
    engine = TransformersEngine(policy, max_concurrent=32, max_new_tokens=max_new_tokens, cache_bytes=2**31)
    await answered(engine, warm_up, clients=clients)
    found = await answered(engine, sessions, clients=clients)
    await engine.close()
    return found


async def answered(engine: TransformersEngine, sessions: Sequence[Session], *, clients: int) -> Measured:
    """Answer every expert turn up to the stop."""
    waiting = list(reversed(sessions))
    latencies: list[float] = []
    tokens = 0

    async def client() -> None:
        nonlocal tokens
        while waiting:
            session = waiting.pop()
            last = len(session.turns) if session.stop_turn is None else session.stop_turn + 1
            for turn in session.turns[:last]:
                begun = time.perf_counter()
                draft = await engine.decide(
                    Context(session.task, session.goal, session.messages[: turn.start])
                )
                latencies.append(time.perf_counter() - begun)
                tokens += len(draft.tokens)

    begun = time.process_time()
    await asyncio.gather(*(client() for _ in range(clients)))
    used = time.process_time() - begun
    return Measured(used, tuple(latencies), tokens)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("plain", help="name of a run without an assessment")
    parser.add_argument("assessed", help="name of a run with train.assessment: fields")
    parser.add_argument("--logs", type=Path, required=True)
    parser.add_argument("--home", type=Path, default=Path(".lta"))
    parser.add_argument("--sessions", type=int, default=40)
    parser.add_argument("--warm-up", type=int, default=40)
    parser.add_argument("--clients", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args()

    runs = [view(name, home=options.home) for name in (options.plain, options.assessed)]
    found = sessions_of(runs[0], options.logs, options.warm_up + options.sessions)
    warm_up, sessions = found[: options.warm_up], found[options.warm_up :]
    policies = [policy_of(run) for run in runs]
    rounds: list[tuple[Measured, ...]] = [
        tuple(
            asyncio.run(
                measured(
                    policy,
                    sessions,
                    warm_up,
                    clients=options.clients,
                    max_new_tokens=run.sources.spec.train.max_new_tokens,
                )
            )
            for run, policy in zip(runs, policies, strict=True)
        )
        for _ in range(options.rounds)
    ]
    print(f"{'policy':>24}{'decisions':>11}{'tokens':>8}{'CPU ms':>8}{'p50 ms':>8}")
    for index, run in enumerate(runs):
        own = [of_round[index] for of_round in rounds]
        latencies = [latency for one in own for latency in one.latencies]
        tokens = sum(one.tokens for one in own) / len(latencies)
        each = statistics.median(one.each for one in own)
        print(
            f"{run.folder.name:>24}{len(own[0].latencies):>11}{tokens:>8.1f}{1000 * each:>8.0f}"
            f"{1000 * statistics.median(latencies):>8.0f}"
        )
    ratio = statistics.median(assessed.each / plain.each for plain, assessed in rounds)
    print(f"an assessment takes {ratio - 1:+.0%} processor time per decision (goal ≤ {GOAL - 1:+.0%})")
    return int(options.check and ratio > GOAL)


if __name__ == "__main__":
    raise SystemExit(main())
