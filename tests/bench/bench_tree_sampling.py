"""Tokens a second of tree sampling against transformers' generate: one prompt at a time, and padded batches.

    python tests/bench/bench_tree_sampling.py --model FOLDER [--threads 2] [--sessions 6] [--samples 6] [--bf16]
        [--check]

FOLDER is a published `model/` (stage fetch, sft or grpo). Sessions are synthetic, with the lengths of the annotated
SGD logs: 2–5 decision points, about 15 tokens a message. All ways sample at temperature 1 until the end of turn or
`--new-tokens`, and only tokens up to the end of turn count. The tree decodes every completion; the other ways are
timed on completions chosen at random, one padded batch and `--single` prompts. CPU seconds are printed in addition to
wall seconds. On a shared machine CPU seconds are the fair measure; with a GPU, which is used if present, wall seconds
are. `--check` exits with 1 if the tree is slower, against a padded batch or against one prompt with its completions
together, than the least of the figures of docs/measurements.md.
"""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from learntoask.core.pack import InformationField, Pack, Task
from learntoask.core.records import EndReason, LabelledSession, Message, Provenance, Sample, Session, Turn
from learntoask.decoding.sessions import SamplingParams, decode_sessions
from learntoask.policy.model import Policy
from learntoask.policy.prompt import session_contexts

SLOTS = [
    "departure city",
    "arrival city",
    "departure date",
    "number of tickets",
    "seating class",
    "return date",
]
USER = [
    "I need {} tickets please.",
    "I want to leave on {}.",
    "It is from {} to Sacramento, for my family.",
    "{}.",
]
EXPERT = [
    "What is the {} you have in mind?",
    "Sure, could you tell me the {}?",
    "Alright. Which {} would you like?",
]
VALUES = ["three", "the 8th of March", "Los Angeles", "economy, if there is any left", "next Friday evening"]
LEAST_PADDED, LEAST_TOGETHER = 8.4, 5.6  # times by CPU seconds, one thread, in docs/measurements.md


@dataclass(frozen=True)
class Timing:
    tokens: int
    wall: float
    cpu: float


def sessions(count: int) -> tuple[Pack, list[LabelledSession]]:
    draw = random.Random(0)
    fields = tuple(InformationField(name=slot.replace(" ", "_")) for slot in SLOTS)
    tasks = tuple(
        Task(
            name=f"task{index}", goal=f"Help the user to book a journey with company {index}.", fields=fields
        )
        for index in range(count)
    )
    made = []
    for index in range(count):
        turns = (2, 3, 4, 5)[index % 4]
        messages: list[Message] = []
        for _ in range(turns):
            said = draw.choice(USER).format(draw.choice(VALUES))
            asked = draw.choice(EXPERT).format(draw.choice(SLOTS))
            messages.append(Message(role="user", content=f"{said} {draw.choice(VALUES)}", author="user"))
            messages.append(Message(role="assistant", content=asked, author="expert"))
        session = Session(
            session_id=f"s{index}",
            split="train",
            task=f"task{index}",
            messages=tuple(messages),
            turns=tuple(Turn(start=2 * turn + 1, end=2 * turn + 2) for turn in range(turns)),
            end=EndReason.HANDOFF,
            stop_turn=None,
        )
        labelled = [
            Sample(turn=turn, decision="continue", remaining=(), provenance=Provenance(labeller="made"))
            for turn in range(turns)
        ]
        made.append(LabelledSession(session=session, samples=tuple(labelled)))
    return Pack(name="bench", tasks=tasks), made


def timed(decode: Callable[[], int]) -> Timing:
    wall, cpu = time.perf_counter(), time.process_time()
    tokens = decode()
    return Timing(tokens, time.perf_counter() - wall, time.process_time() - cpu)


def generated(policy: Policy, prompts: list[tuple[int, ...]], new_tokens: int, *, each: int = 1) -> int:
    """Sample `each` completions of every prompt in one padded batch; how many tokens they have."""
    longest = max(map(len, prompts))
    padding = policy.end_of_turn
    device = policy.model.device
    ids = torch.tensor(
        [[padding] * (longest - len(prompt)) + list(prompt) for prompt in prompts], device=device
    )
    mask = torch.tensor(
        [[0] * (longest - len(prompt)) + [1] * len(prompt) for prompt in prompts], device=device
    )
    with torch.inference_mode():
        out = policy.model.generate(
            ids,
            attention_mask=mask,
            max_new_tokens=new_tokens,
            do_sample=True,
            temperature=1.0,
            top_k=0,
            top_p=1.0,
            num_return_sequences=each,
            pad_token_id=padding,
            eos_token_id=policy.end_of_turn,
        )
    answers = [row[longest:].tolist() for row in out]
    return sum(
        answer.index(policy.end_of_turn) + 1 if policy.end_of_turn in answer else len(answer)
        for answer in answers
    )


def main() -> int:
    """Time all ways, print the table, and return the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--sessions", type=int, default=6)
    parser.add_argument("--samples", type=int, default=6)
    parser.add_argument("--new-tokens", type=int, default=24)
    parser.add_argument("--batch", type=int, default=64, help="rows of a padded batch")
    parser.add_argument("--bf16", action="store_true", help="weights in bfloat16")
    parser.add_argument("--single", type=int, default=8, help="completions decoded one at a time")
    parser.add_argument("--check", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)

    pack, made = sessions(arguments.sessions)
    dtype = torch.bfloat16 if arguments.bf16 else torch.float32
    policy = Policy.load(arguments.model, pack, dtype=dtype)
    contexts = [[policy.context_tokens(context) for context in session_contexts(session)] for session in made]
    prompts = [prompt for of_session in contexts for prompt in of_session]
    rows = [prompt for prompt in prompts for _ in range(arguments.samples)]
    batch = random.Random(1).sample(rows, min(arguments.batch, len(rows)))
    some = batch[: arguments.single]
    new = arguments.new_tokens
    print(
        f"{len(made)} sessions, {len(prompts)} decision points, {arguments.samples} completions each; "
        f"{sum(map(len, rows))} prompt tokens row by row, {sum(len(prompts[-1]) for prompts in contexts)} on trunks; "
        f"{policy.model.device}, {dtype}, {arguments.threads} threads"
    )

    def tree() -> int:
        decoded = decode_sessions(
            policy, made, SamplingParams(samples=arguments.samples, temperature=1.0, max_new_tokens=new)
        )
        return sum(len(answer.tokens) for turns in decoded for turn in turns for answer in turn)

    decode_sessions(policy, made[:1], SamplingParams(temperature=1.0, max_new_tokens=2))  # warm up
    generated(policy, rows[:1], 2)
    padded, together = (
        f"a padded batch of {len(batch)}",
        f"one prompt at a time, its {arguments.samples} together",
    )
    ways: dict[str, Callable[[], int]] = {
        "tree": tree,
        padded: lambda: generated(policy, batch, new),
        together: lambda: sum(generated(policy, [prompt], new, each=arguments.samples) for prompt in some),
        "one completion at a time": lambda: sum(generated(policy, [prompt], new) for prompt in some),
    }
    print(f"{'way':<42}{'tokens':>8}{'wall s':>9}{'CPU s':>9}{'tokens/s':>10}{'tree is':>9}{'by CPU':>8}")
    best = None
    by_cpu: dict[str, float] = {}
    for way, decode in ways.items():
        timing = timed(decode)
        best = best or timing
        by_cpu[way] = best.tokens / best.cpu / (timing.tokens / timing.cpu)
        print(
            f"{way:<42}{timing.tokens:>8}{timing.wall:>9.1f}{timing.cpu:>9.1f}{timing.tokens / timing.wall:>10.1f}"
            f"{best.tokens / best.wall / (timing.tokens / timing.wall):>8.1f}×"
            f"{by_cpu[way]:>7.1f}×",
            flush=True,
        )
    slower = [
        way for way, least in ((padded, LEAST_PADDED), (together, LEAST_TOGETHER)) if by_cpu[way] < least
    ]
    for way in slower:
        print(f"falls short: {by_cpu[way]:.1f}× against {way}")
    return int(arguments.check and bool(slower))


if __name__ == "__main__":
    raise SystemExit(main())
