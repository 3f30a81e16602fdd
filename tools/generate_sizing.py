"""Write the tables of docs/sizing.md: the memory of training, by arithmetic.

python tools/generate_sizing.py            rewrites the page
python tools/generate_sizing.py --check    exits with 1 when the page is not current

All figures are bytes on one GPU; the formulas are those that the page states.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path

PAGE = Path(__file__).resolve().parent.parent / "docs" / "sizing.md"
BEGIN, END = "<!-- tables: tools/generate_sizing.py -->\n", "<!-- end of tables -->"
GB = 1e9
ROW_TOKENS, NEW_TOKENS = 8192, 64
SCORED = 1024  # tokens whose logits exist at a time, rounded up; training/tree/scoring.py bounds them
TRUNK_TOKENS, BRANCHES = 16384, 512  # MAX_TRUNK_TOKENS and MAX_ROWS of decoding/sessions.py
WORKSPACE = 4 * GB  # CUDA context, NCCL, fragmentation


@dataclass(frozen=True)
class Shape:
    """A Llama-like model: `inner` is the width of its MLP, `kv` that of all its key heads."""

    name: str
    parameters: float
    layers: int
    hidden: int
    inner: int
    kv: int
    words: int

    @property
    def layer(self) -> float:
        """Return the number of parameters of one layer's matrices."""
        return 2 * self.hidden * (self.hidden + self.kv) + 3 * self.hidden * self.inner

    def adapters(self, rank: int) -> float:
        """Return the number of parameters of adapters on every linear layer: rank · (in + out)."""
        attention = 2 * (2 * self.hidden) + 2 * (self.hidden + self.kv)
        return self.layers * rank * (attention + 3 * (self.hidden + self.inner))


QWEN_7B = Shape("7B", 7.62e9, 28, 3584, 18944, 512, 152_064)
QWEN_32B = Shape("32B", 32.8e9, 64, 5120, 27648, 1024, 152_064)


@dataclass(frozen=True)
class Plan:
    shape: Shape
    gpus: int
    zero: int = 0
    rank: int = 0
    stage: str = "grpo"


def state(plan: Plan) -> float:
    """Return the bytes of weights, gradients and Adam's two moments in float32.

    With adapters these are the adapters' own, plus the frozen weights in bfloat16.
    """
    trained = plan.shape.adapters(plan.rank) if plan.rank else plan.shape.parameters
    frozen = 2 * plan.shape.parameters if plan.rank else 0.0
    shares = [plan.gpus if plan.zero >= level else 1 for level in (3, 2, 1)]
    weights, gradients, moments = (
        trained * bytes_each / share for bytes_each, share in zip((4, 4, 8), shares, strict=True)
    )
    return frozen / shares[0] + weights + gradients + moments


def activations(plan: Plan) -> float:
    """Return the bytes of checkpointed activations: layer inputs, one recomputed layer, the logits of one chunk."""
    shape = plan.shape
    inputs = 4 * ROW_TOKENS * shape.hidden * shape.layers
    one_layer = ROW_TOKENS * (4 * 8 * shape.hidden + 2 * (2 * shape.hidden + 2 * shape.kv + 4 * shape.inner))
    cast_weights = 2 * shape.layer
    logits = 3 * 4 * SCORED * shape.words
    return inputs + one_layer + cast_weights + logits


def fetched(plan: Plan) -> float:
    """Return the bytes of weights that ZeRO-3 gathers at a time: at most its default of 1e9 parameters."""
    return (2 if plan.rank else 4) * min(1e9, plan.shape.parameters) if plan.zero == 3 else 0.0


def copies(plan: Plan) -> float:
    """Return the bytes of the float32 copies that GRPO without adapters holds on every worker.

    They are the SFT policy, the running mean and, during validation, the weights. With adapters there is no copy: the
    policy without adapters is the reference.
    """
    return 12 * plan.shape.parameters if plan.stage == "grpo" and not plan.rank else 0.0


def sampling(plan: Plan) -> float:
    """Return the bytes of keys and values in bfloat16 and, with ZeRO-3, of the weights gathered for sampling."""
    if plan.stage != "grpo":
        return 0.0
    tokens = TRUNK_TOKENS + BRANCHES * NEW_TOKENS
    cache = 2 * 2 * plan.shape.layers * plan.shape.kv * tokens
    gathered = (2 if plan.rank else 4) * plan.shape.parameters if plan.zero == 3 else 0.0
    return cache + gathered


def peak(plan: Plan) -> float:
    """Return the peak bytes. Sampling and updates alternate, so the larger of the two counts."""
    update = activations(plan) + fetched(plan)
    return state(plan) + copies(plan) + max(update, sampling(plan)) + WORKSPACE


def smallest_gpu(plan: Plan) -> str:
    return next((f"{size} GB" for size in (24, 48, 80, 141) if peak(plan) <= 0.95 * size * GB), "none")


PLANS = [
    Plan(shape, gpus, zero=zero if gpus > 1 else 0, rank=rank, stage=stage)
    for shape in (QWEN_7B, QWEN_32B)
    for gpus in (1, 8, 32)
    for rank, zero, stage in ((0, 3, "sft"), (0, 3, "grpo"), (16, 0 if shape is QWEN_7B else 3, "grpo"))
]


def tables() -> str:
    lines = [
        "| base | GPUs | trained | stage | ZeRO | state | copies | update | sampling | peak, GB | smallest GPU |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for plan in PLANS:
        parts = (
            state(plan),
            copies(plan),
            activations(plan) + fetched(plan),
            sampling(plan),
            peak(plan),
        )
        figures = " | ".join(f"{part / GB:.1f}" for part in parts)
        trained = f"LoRA {plan.rank}" if plan.rank else "all"
        lines.append(
            f"| {plan.shape.name} | {plan.gpus} | {trained} | {plan.stage} | {plan.zero} | {figures} | "
            f"{smallest_gpu(plan)} |"
        )
    return "\n".join(lines) + "\n"


def page() -> str:
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    return before + BEGIN + tables() + END + rest.partition(END)[2]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="exit with 1 when the page is not current")
    if parser.parse_args().check:
        sys.exit(page() != PAGE.read_text(encoding="utf-8"))
    PAGE.write_text(page(), encoding="utf-8")
