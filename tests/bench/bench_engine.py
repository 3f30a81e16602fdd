"""Measures decisions per second of the transformers engine at 1, 8 and 32 concurrent conversations.

    python tests/bench/bench_engine.py                  # the packaged SmolLM2-135M-Instruct
    python tests/bench/bench_engine.py --model FOLDER   # a trained policy

Every conversation has a different opening and goes through several user turns; the policy's answer is part of the next
context, as in Converse. The base model would ramble, so answers are cut at --answer tokens, the length of a trained
policy's questions. CPU s is processor time per decision, which stays the same on a busy machine (with one thread:
OMP_NUM_THREADS=1). `--precision` is that of `serve`. One warm-up conversation reads the system prompt beforehand.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import time
from pathlib import Path
from typing import get_args

import torch
from learntoask.core.manifest import Precision
from learntoask.core.pack import Pack, load_pack
from learntoask.core.prompt import Context
from learntoask.core.records import Message
from learntoask.policy.model import Policy, best_device
from learntoask.policy.precision import resolve_precision
from learntoask.serving.engines.transformers import TransformersEngine
from learntoask.training.base.packaged import packaged_model, packaged_tokenizer
from transformers.utils import logging as transformers_logging

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "pharmacy" / "pack.yaml"
REPLIES = (
    "I have had a bad headache since yesterday evening, can I take something for it?",
    "Since yesterday evening, it started after work and did not get better overnight.",
    "About two tablets of ibuprofen so far, the last one this morning around eight.",
    "No, nothing else, and I am not allergic to anything that I know of.",
    "I am forty-one years old and otherwise in good health.",
    "No, no fever and no stiff neck, just the pain behind the eyes.",
)


def policy_of(folder: Path | None, pack: Pack, precision: Precision) -> Policy:
    dtype = resolve_precision(precision, best_device())
    if folder is not None:
        return Policy.load(folder, pack, dtype=dtype)
    model = packaged_model().eval().to(best_device(), dtype)
    return Policy(model=model, tokenizer=packaged_tokenizer(), pack=pack)


async def converse(
    engine: TransformersEngine, task: str, *, name: str, turns: int, latencies: list[float]
) -> None:
    messages: list[Message] = []
    for turn in range(turns):
        said = REPLIES[turn % len(REPLIES)]
        content = f"Hello, this is {name}. {said}" if turn == 0 else said
        messages.append(Message(role="user", content=content, author="user"))
        begun = time.perf_counter()
        draft = await engine.decide(Context(task, None, tuple(messages)))
        latencies.append(time.perf_counter() - begun)
        messages.append(Message(role="assistant", content=draft.text, author="policy"))


async def measure(
    engine: TransformersEngine, task: str, *, clients: int, turns: int, label: str, apart: float
) -> list[float]:
    """Return latencies in seconds of conversations that begin `apart` seconds after each other."""
    latencies: list[float] = []

    async def client(number: int) -> None:
        await asyncio.sleep(apart * number)
        await converse(engine, task, name=f"{label} {number}", turns=turns, latencies=latencies)

    await asyncio.gather(*(client(number) for number in range(clients)))
    return latencies


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", type=Path)
    parser.add_argument("--pack", type=Path, default=EXAMPLE)
    parser.add_argument("--precision", choices=get_args(Precision), default="auto")
    parser.add_argument("--turns", type=int, default=4)
    parser.add_argument("--answer", type=int, default=14)
    parser.add_argument("--apart", type=float, default=0.1, help="less for an engine of over 10 decisions/s")
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 8, 32])
    arguments = parser.parse_args()
    transformers_logging.disable_progress_bar()
    pack = load_pack(arguments.pack)
    task = pack.demo_task or pack.default_task or pack.tasks[0].name
    policy = policy_of(arguments.model, pack, arguments.precision)
    print(
        f"{policy.model.num_parameters() / 1e6:.0f} M parameters, {policy.model.dtype}, "
        f"{torch.get_num_threads()} threads, task {task}"
    )
    heads = "".join(f"{head:>8}" for head in ("ratio", "CPU s", "ratio", "p50 s", "max s", "kept"))
    print(f"{'clients':>8}{'decisions':>11}{'per s':>8}{heads}")
    engine = TransformersEngine(policy, max_concurrent=32, max_new_tokens=arguments.answer, cache_bytes=2**31)
    await measure(engine, task, clients=1, turns=1, label="Warm-up", apart=0)
    alone: tuple[float, float] | None = None
    for clients in arguments.clients:
        begun, cpu = time.perf_counter(), time.process_time()
        latencies = await measure(
            engine,
            task,
            clients=clients,
            turns=arguments.turns,
            label=f"Client of {clients}",
            apart=arguments.apart,
        )
        rate = len(latencies) / (time.perf_counter() - begun)
        cpu = (time.process_time() - cpu) / len(latencies)
        alone = alone or (rate, cpu)
        print(
            f"{clients:>8}{len(latencies):>11}{rate:>8.2f}{rate / alone[0]:>8.2f}{cpu:>8.2f}{alone[1] / cpu:>8.2f}"
            f"{statistics.median(latencies):>8.2f}{max(latencies):>8.2f}{engine.cache_bytes() / 2**20:>6.0f}Mi",
            flush=True,
        )
    await engine.close()


if __name__ == "__main__":
    asyncio.run(main())
