"""One GRPO update on session trees against the same update in rows: time, token ratio, gradients, memory.

    python tests/bench/bench_tree_update.py [--threads 1] [--rounds 3] [--no-trl] [--no-memory] [--check]
    python tests/bench/bench_tree_update.py --device cuda --bf16 --first 600 --case 8 5 --shape qwen2.5-0.5b [--lora]

One session has T decision points with G sampled completions of 20 tokens each. The first context has `--first` tokens
(196) and every turn adds 32, so T = 8, G = 5 is the case of the design (13,120 tokens in rows, 1,220 in the tree; here
two fewer for each branch, since the last token of a completion is not packed). The shape `small` is a Qwen3 of 6.3
million parameters; on a GPU it measures mostly kernel launches. The shape `tiny-qwen2` is for tests, and the others are
those of published models. All weights are random and float32; with `--lora` they are bfloat16, and only adapters learn.
Each update makes a forward pass, the GRPO loss and a backward pass. The ways run in turns; of each the best of `rounds`
counts, and all have equal gradients:

- tree: this project;
- rows: one batch of G rows for each turn, no padding, logits of the completions only;
- padded: one batch of all T·G rows, padded to the longest;
- TRL: `GRPOTrainer._compute_loss` of the installed TRL on that padded batch.

`work` is the ratio of multiplications, which is below the token ratio, since every completion needs separate logits and
the tree's tokens see more keys on average than the rows'. `of tokens` and `of work` are the speed-up over the rows
divided by those ratios. Seconds are CPU seconds of this process on a CPU, where other processes disturb wall seconds,
and wall seconds on a GPU, where each way's tokens per second (those of the rows, whatever the way computes) and peak
memory, weights included, follow.

`--check` exits with 1 if the case T = 8, G = 5 of the shape `small` on a CPU is over 5 % below the figures of
docs/measurements.md, or if a shape of 1.5 billion parameters or more reaches less than 70 % of the ratio of work.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import torch
from transformers import PreTrainedModel
from tree_update.cases import FIRST, LARGE, SHAPES, Case, case_of, model_of
from tree_update.memory import memory, peak_memory
from tree_update.timing import Update, measured, work_ratio
from tree_update.trl import trl_step
from tree_update.ways import by_padded, by_rows, by_tree

CASES = [(turns, group) for turns in (2, 8, 32) for group in (2, 5, 16)]
# Speed-ups in docs/measurements.md: T = 8, G = 5, shape small.
MEASURED = {"rows": 9.8, "padded": 15.0, "TRL": 22.0}
TOLERANCE = 0.95
SHARE_OF_WORK = 0.7
HEADING = (
    "  T   G | tokens: rows    tree  ratio   work |  tree s   rows s  speed-up  of tokens  of work |"
    " padded s  speed-up |    TRL s  speed-up | gradient differs by (rows, padded, TRL)"
)


def updates(
    model: PreTrainedModel, case: Case, trl: Callable[[Case], float] | None, *, rounds: int, bf16: bool
) -> dict[str, Update]:
    """Return the fastest update of each way. Left out are padded batches that are too large."""
    ways: dict[str, Callable[[], float]] = {
        "tree": lambda: by_tree(model, case),
        "rows": lambda: by_rows(model, case),
    }
    completions = len(case.tree.completions)
    if completions <= (40 if model.device.type == "cpu" else 160):
        ways["padded"] = lambda: by_padded(model, case)
        if trl is not None:
            ways["TRL"] = lambda: trl(case)
    best: dict[str, Update] = {}
    measured(model, ways["tree"], bf16=bf16)  # warm-up
    for _ in range(rounds if completions <= 128 else 1):
        for name, way in list(ways.items()):
            try:
                update = measured(model, way, bf16=bf16)
            except torch.OutOfMemoryError:
                if name in ("tree", "rows"):
                    raise
                del ways[name]
                continue
            best[name] = min(update, best.get(name, update), key=lambda one: one.seconds)
    return best


def compare(
    model: PreTrainedModel, case: Case, trl: Callable[[Case], float] | None, *, rounds: int, bf16: bool
) -> dict[str, float]:
    """Print the line of one case, and return the speed-up of the tree over each way and, as `of work`, its share."""
    turns = len({completion.attach for completion in case.tree.completions})
    group = len(case.tree.completions) // turns
    best = updates(model, case, trl, rounds=rounds, bf16=bf16)
    tree = best["tree"]
    speed_up = {name: update.seconds / tree.seconds for name, update in best.items()}
    ratio, work = case.tree.unshared_size / case.tree.size, work_ratio(model, case)
    differences = ", ".join(
        f"{float((update.gradient - tree.gradient).norm() / tree.gradient.norm()):.0e}"
        for name, update in best.items()
        if name != "tree"
    )

    def against(name: str) -> str:
        if name not in best:
            return f"{'–':>8}  {'–':>8}"
        return f"{best[name].seconds:8.3f}  {speed_up[name]:7.1f}×"

    rows = speed_up["rows"]
    print(
        f"{turns:3d} {group:3d} | {case.tree.unshared_size:12,d} {case.tree.size:7,d} {ratio:5.2f}× {work:5.2f}× |"
        f" {tree.seconds:7.3f} {against('rows')} {rows / ratio:10.0%} {rows / work:8.0%} |"
        f" {against('padded')} | {against('TRL')} | {differences}",
        flush=True,
    )
    if model.device.type == "cuda":
        facts = (
            f"{name} {case.tree.unshared_size / best[name].seconds:,.0f} tokens/s, {best[name].gibibytes:.1f} GiB"
            for name in best
        )
        print(f"        {'; '.join(facts)}", flush=True)
    return {**speed_up, "of work": rows / work}


def shortfalls(
    found: dict[str, float], shape: str, case: tuple[int, int], options: argparse.Namespace
) -> list[str]:
    """Return what the figures of one case fall short of, as sentences."""
    short = []
    if shape in LARGE and found["of work"] < SHARE_OF_WORK:
        short.append(f"{shape}: {found['of work']:.0%} of the ratio of work, goal {SHARE_OF_WORK:.0%}")
    if (shape, case, options.first, options.device) == ("small", (8, 5), FIRST, "cpu"):
        short += [
            f"{name}: {found[name]:.1f}×, measured before {figure:g}×"
            for name, figure in MEASURED.items()
            if name in found and found[name] < TOLERANCE * figure
        ]
    return short


def main() -> int:
    """Run the cases, print their table, and return the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--shape", choices=SHAPES, default="small")
    parser.add_argument("--first", type=int, default=FIRST)
    parser.add_argument("--bf16", action="store_true")
    parser.add_argument("--lora", action="store_true")
    parser.add_argument("--no-trl", action="store_true")
    parser.add_argument("--no-memory", action="store_true")
    parser.add_argument("--case", type=int, nargs=2, action="append", metavar=("T", "G"))
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--peak", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.peak:
        peak_memory(options.peak, options.shape, device=options.device, bf16=options.bf16, lora=options.lora)
        return 0
    model = model_of(options.shape, options.device, lora=options.lora)
    print(
        f"{options.shape}: {sum(parameter.numel() for parameter in model.parameters()):,} parameters\n{HEADING}"
    )
    trl = None if options.no_trl else trl_step(model)
    short: list[str] = []
    for turns, group in options.case or CASES:
        case = case_of(turns, group, first=options.first, device=options.device)
        found = compare(model, case, trl, rounds=options.rounds, bf16=options.bf16)
        short += shortfalls(found, options.shape, (turns, group), options)
    del model, trl
    if not options.no_memory:
        if options.device != "cpu":
            torch.cuda.empty_cache()  # the processes that measure it need the room
        memory()
    for sentence in short:
        print(f"falls short: {sentence}")
    return int(options.check and bool(short))


if __name__ == "__main__":
    raise SystemExit(main())
