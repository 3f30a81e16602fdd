"""One GRPO update on session trees against the same update in rows: time, token ratio, gradients, memory.

    python tests/bench/bench_tree_update.py [--threads 1] [--rounds 3] [--no-trl] [--no-memory]
    python tests/bench/bench_tree_update.py --device cuda --shape smollm2 [--bf16]

One session has T decision points with G sampled completions of 20 tokens each. The first context has 196 tokens and
every turn adds 32, so T = 8, G = 5 is the case of the design (13,120 tokens in rows, 1,220 in the tree; here two fewer
for each branch, since the last token of a completion is not packed). The model is a Qwen3 of 6.8 million float32
parameters. Each update makes a forward pass, the GRPO loss and a backward pass. The ways run in turns; of each the
best of `rounds` counts, and all have equal gradients:

- tree: this project;
- rows: one batch of G rows for each turn, no padding, logits of the completions only;
- padded: one batch of all T·G rows, padded to the longest;
- TRL: `GRPOTrainer._compute_loss` of the installed TRL on that padded batch.

`share` is the speed-up over the rows divided by the token ratio. `work` is the ratio of multiplications, which is
below the token ratio, since every completion needs separate logits and the tree's tokens see more keys on average than
the rows'. Seconds are CPU seconds of this process on a CPU, where other processes disturb wall seconds, and wall
seconds on a GPU. `--shape smollm2` has the shape of SmolLM2-135M with random weights, because on a GPU 6.8 million
parameters measure mostly kernel launches.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from learntoask.core.manifest import Grpo
from learntoask.training.grpo.loss import CompletionFacts, grpo_loss
from learntoask.training.tree.attention import enable_tree_attention
from learntoask.training.tree.layout import Completion, SessionTree, pack_micro_batch
from learntoask.training.tree.scoring import score
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, LlamaConfig, PreTrainedModel, Qwen3Config

VOCABULARY = 4096
FIRST, STEP, LENGTH = 196, 32, 20
CASES = [(turns, group) for turns in (2, 8, 32) for group in (2, 5, 16)]
BETA = 0.02
SETTINGS = Grpo(credit="plain", kl_coefficient=BETA)
MEMORY_TOKENS = (2000, 4000, 8000, 16000, 32000)


@dataclass(frozen=True)
class Case:
    tree: SessionTree
    advantages: Tensor
    references: Tensor  # [completions, LENGTH]

    @property
    def device(self) -> torch.device:
        return self.advantages.device


def case_of(turns: int, group: int, *, seed: int = 0, device: str = "cpu") -> Case:
    generator = torch.Generator().manual_seed(seed)

    def words(count: int) -> tuple[int, ...]:
        return tuple(torch.randint(5, VOCABULARY, (count,), generator=generator).tolist())

    completions = tuple(
        Completion(FIRST + STEP * turn, words(LENGTH)) for turn in range(turns) for _ in range(group)
    )
    return Case(
        tree=SessionTree(words(FIRST + STEP * (turns - 1)), completions),
        advantages=torch.randn(len(completions), generator=generator).to(device),
        references=(-8 - torch.rand(len(completions), LENGTH, generator=generator)).to(device),
    )


SHAPES = {
    "small": Qwen3Config(
        vocab_size=VOCABULARY,
        hidden_size=256,
        intermediate_size=768,
        num_hidden_layers=7,
        num_attention_heads=8,
        num_key_value_heads=2,
        head_dim=32,
        max_position_embeddings=4096,
        tie_word_embeddings=True,
        pad_token_id=0,
    ),
    "smollm2": LlamaConfig(
        vocab_size=49152,
        hidden_size=576,
        intermediate_size=1536,
        num_hidden_layers=30,
        num_attention_heads=9,
        num_key_value_heads=3,
        max_position_embeddings=8192,
        tie_word_embeddings=True,
        pad_token_id=0,
    ),
}


def model_of(shape: str, device: str) -> PreTrainedModel:
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(SHAPES[shape])
    enable_tree_attention(model)
    return model.to(device).train()


def by_tree(model: PreTrainedModel, case: Case) -> float:
    packed = pack_micro_batch([case.tree])
    count = len(case.tree.completions)
    nothing = torch.zeros(count, device=case.device)
    facts = CompletionFacts(
        lengths=torch.from_numpy(packed.lengths).to(case.device),
        weight=torch.full((count,), 1 / count, device=case.device),
        advantage=case.advantages,
        stop=nothing.bool(),
        truth=nothing.long(),
        decision_weight=nothing,
        hold_weight=nothing,
        stop_of=nothing.long(),
    )
    logprobs = score(model, packed).logprobs
    loss = grpo_loss(
        logprobs, old=None, reference=case.references.flatten(), facts=facts, settings=SETTINGS
    ).loss
    loss.backward()
    return float(loss.detach())


def row_loss(logprobs: Tensor, references: Tensor, advantages: Tensor) -> Tensor:
    """Sum over completions of their mean token loss: [rows, LENGTH] each."""
    ratio = (logprobs - logprobs.detach()).exp()
    surrogate = torch.minimum(ratio * advantages[:, None], ratio.clamp(0.8, 1.2) * advantages[:, None])
    log_ratio = references - logprobs
    return (-surrogate + BETA * (log_ratio.exp() - log_ratio - 1)).mean(dim=1).sum()


def completion_logprobs(model: PreTrainedModel, ids: Tensor, mask: Tensor | None, reads: Tensor) -> Tensor:
    hidden = model.base_model(input_ids=ids, attention_mask=mask, use_cache=False).last_hidden_state
    every = torch.arange(len(ids), device=ids.device)[:, None]
    logs = model.lm_head(hidden[every, reads]).float().log_softmax(-1)
    return logs.gather(2, ids[every, reads + 1][..., None])[..., 0]


def by_rows(model: PreTrainedModel, case: Case) -> float:
    completions = case.tree.completions
    total = 0.0
    for attach in sorted({completion.attach for completion in completions}):
        chosen = [index for index, completion in enumerate(completions) if completion.attach == attach]
        rows = [case.tree.trunk[:attach] + completions[index].tokens for index in chosen]
        ids = torch.tensor(rows, device=case.device)
        reads = torch.arange(attach - 1, attach + LENGTH - 1, device=case.device).expand(len(chosen), -1)
        logprobs = completion_logprobs(model, ids, None, reads)
        loss = row_loss(logprobs, case.references[chosen], case.advantages[chosen]) / len(completions)
        loss.backward()
        total += float(loss.detach())
    return total


def by_padded(model: PreTrainedModel, case: Case) -> float:
    completions = case.tree.completions
    rows = [case.tree.trunk[: completion.attach] + completion.tokens for completion in completions]
    width = max(map(len, rows))
    ids = torch.tensor([[*row, *[0] * (width - len(row))] for row in rows], device=case.device)
    mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in rows], device=case.device)
    reads = torch.tensor(
        [list(range(completion.attach - 1, completion.attach + LENGTH - 1)) for completion in completions],
        device=case.device,
    )
    logprobs = completion_logprobs(model, ids, mask, reads)
    loss = row_loss(logprobs, case.references, case.advantages) / len(completions)
    loss.backward()
    return float(loss.detach())


def trl_step(model: PreTrainedModel) -> Callable[[Case], float]:
    """TRL's loss and backward on one case, through its own trainer."""
    from datasets import Dataset  # noqa: PLC0415  bench-only extra, slow to import
    from tokenizers import Tokenizer, models  # noqa: PLC0415
    from transformers import PreTrainedTokenizerFast  # noqa: PLC0415
    from trl import GRPOConfig, GRPOTrainer  # noqa: PLC0415

    words = {"<pad>": 0, "<eos>": 1, "<unk>": 2}
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(models.WordLevel(words, unk_token="<unk>")),
        pad_token="<pad>",
        eos_token="<eos>",
    )
    with tempfile.TemporaryDirectory() as folder:
        trainer = GRPOTrainer(
            model=model,
            reward_funcs=lambda completions, **_: [0.0] * len(completions),
            args=GRPOConfig(
                output_dir=folder,
                loss_type="grpo",
                beta=0.0,  # no second model is made; the references are ours, beta is set below
                epsilon=0.2,
                use_bias_correction_kl=False,  # the k3 of the papers, as ours
                num_generations=2,
                per_device_train_batch_size=2,
                report_to=[],
                use_cpu=True,
                bf16=False,
                gradient_checkpointing=False,
                disable_tqdm=True,
            ),
            train_dataset=Dataset.from_list([{"prompt": "x"}] * 2),
            processing_class=tokenizer,
        )
    trainer.beta = BETA
    trainer.current_gradient_accumulation_steps = 1
    trainer.model.train()

    def step(case: Case) -> float:
        completions = case.tree.completions
        width = max(completion.attach for completion in completions)
        pads = [width - completion.attach for completion in completions]
        prompts = [case.tree.trunk[: completion.attach] for completion in completions]
        inputs = {
            "prompt_ids": torch.tensor([[0] * pad + list(p) for pad, p in zip(pads, prompts, strict=True)]),
            "prompt_mask": torch.tensor([[0] * pad + [1] * (width - pad) for pad in pads]),
            "completion_ids": torch.tensor([completion.tokens for completion in completions]),
            "completion_mask": torch.ones(len(completions), LENGTH, dtype=torch.long),
            "advantages": case.advantages,
            "ref_per_token_logps": case.references,
        }
        loss = trainer._compute_loss(trainer.model, inputs)
        loss.backward()
        return float(loss.detach())

    return step


def work_ratio(model: PreTrainedModel, case: Case) -> float:
    """Return the multiplications of the rows over those of the tree.

    Counted are all layers for every token, the head for every logit, and attention for every key that a token sees, of
    which there are position + 1.
    """
    config = model.config
    layers = sum(
        module.weight.numel() for module in model.base_model.layers.modules() if isinstance(module, nn.Linear)
    )
    head = config.vocab_size * config.hidden_size
    key = 2 * config.num_hidden_layers * config.num_attention_heads * config.head_dim
    packed = pack_micro_batch([case.tree])
    tree = (
        layers * len(packed.tokens) + head * len(set(packed.reads)) + key * int((packed.positions + 1).sum())
    )
    sizes = [completion.attach + LENGTH for completion in case.tree.completions]
    rows = sum(layers * size + head * LENGTH + key * size * (size + 1) // 2 for size in sizes)
    return rows / tree


def now(device: torch.device) -> float:
    if device.type == "cpu":
        return time.process_time()
    torch.cuda.synchronize()
    return time.perf_counter()


def measured(
    model: PreTrainedModel, step: Callable[[], float], *, bf16: bool = False
) -> tuple[float, float, Tensor]:
    """(seconds, loss, gradient) of one update."""
    model.zero_grad(set_to_none=True)
    start = now(model.device)
    with torch.autocast(model.device.type, dtype=torch.bfloat16, enabled=bf16):
        loss = step()
    seconds = now(model.device) - start
    return seconds, loss, torch.cat([parameter.grad.flatten() for parameter in model.parameters()])


def compare(
    model: PreTrainedModel, cases: list[tuple[int, int]], *, rounds: int, with_trl: bool, bf16: bool
) -> None:
    print(f"{sum(parameter.numel() for parameter in model.parameters()):,} parameters")
    trl = trl_step(model) if with_trl else None
    print(
        "  T   G | tokens: rows    tree  ratio   work |  tree s   rows s  speed-up  share | padded s  speed-up |"
        "    TRL s  speed-up | gradient differs by (rows, padded, TRL)"
    )
    for turns, group in cases:
        case = case_of(turns, group, device=str(model.device))
        ways: dict[str, Callable[[], float]] = {
            "tree": lambda case=case: by_tree(model, case),
            "rows": lambda case=case: by_rows(model, case),
        }
        if turns * group <= (
            40 if model.device.type == "cpu" else 160
        ):  # larger padded batches take too long
            ways["padded"] = lambda case=case: by_padded(model, case)
            if trl:
                ways["TRL"] = lambda case=case: trl(case)
        best: dict[str, float] = {}
        gradients: dict[str, Tensor] = {}
        measured(model, ways["tree"], bf16=bf16)  # warm-up
        for _ in range(rounds if turns * group <= 128 else 1):
            for name, way in list(ways.items()):
                try:
                    seconds, _, gradients[name] = measured(model, way, bf16=bf16)
                except torch.OutOfMemoryError:  # of padded batches, on a GPU
                    del ways[name]
                    continue
                best[name] = min(seconds, best.get(name, seconds))
        ratio = case.tree.unshared_size / case.tree.size
        speed_up = best["rows"] / best["tree"]
        differences = [
            f"{float((gradients[name] - gradients['tree']).norm() / gradients['tree'].norm()):.0e}"
            for name in ("rows", "padded", "TRL")
            if name in gradients
        ]

        def against(name: str, best: dict[str, float] = best) -> str:
            if name not in best:
                return f"{'–':>8}  {'–':>8}"
            return f"{best[name]:8.3f}  {best[name] / best['tree']:7.1f}×"

        work = work_ratio(model, case)
        print(
            f"{turns:3d} {group:3d} | {case.tree.unshared_size:12,d} {case.tree.size:7,d} {ratio:5.2f}× {work:5.2f}× |"
            f" {best['tree']:7.3f} {best['rows']:8.3f} {speed_up:8.2f}× {speed_up / ratio:6.0%} |"
            f" {against('padded')} | {against('TRL')} | {', '.join(differences)}",
            flush=True,
        )


def peak_memory(tokens: int, shape: str, *, device: str, bf16: bool) -> None:
    """Print the peak memory in MB, above that of the model, of one update of about `tokens` packed tokens."""
    model = model_of(shape, device)
    by_tree(model, case_of(2, 2, device=device))
    model.zero_grad(set_to_none=False)
    size = case_of(8, 5).tree.size
    packed = pack_micro_batch([case_of(8, 5, seed=index).tree for index in range(max(1, tokens // size))])
    before = _used(device)
    with torch.autocast(model.device.type, dtype=torch.bfloat16, enabled=bf16):
        logprobs = score(model, packed).logprobs
    logprobs.sum().backward()
    print(len(packed.tokens), _peak(device) - before)


def _peak(device: str) -> float:
    """Peak memory in MB since the last `_used`."""
    if device != "cpu":
        return torch.cuda.max_memory_allocated() / 2**20
    return _status("VmHWM")


def _used(device: str) -> float:
    if device != "cpu":
        torch.cuda.reset_peak_memory_stats()
        return torch.cuda.memory_allocated() / 2**20
    Path("/proc/self/clear_refs").write_text("5")  # resets the peak of the imports
    return _status("VmRSS")


def _status(name: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name)) / 1024


def memory(sizes: tuple[int, ...], arguments: list[str]) -> None:
    print("packed tokens | peak MB | MB a 1,000 tokens")
    for tokens in sizes:
        out = subprocess.run(
            [sys.executable, __file__, *arguments, "--peak", str(tokens)],
            check=True,
            capture_output=True,
            text=True,
        ).stdout.split()
        packed, peak = int(out[0]), float(out[1])
        print(f"{packed:13,d} | {peak:7,.0f} | {peak / packed * 1000:6.1f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--shape", choices=SHAPES, default="small")
    parser.add_argument("--bf16", action="store_true")
    parser.add_argument("--no-trl", action="store_true")
    parser.add_argument("--no-memory", action="store_true")
    parser.add_argument("--case", type=int, nargs=2, action="append", metavar=("T", "G"))
    parser.add_argument("--peak", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.peak:
        peak_memory(options.peak, options.shape, device=options.device, bf16=options.bf16)
        return
    cases = [tuple(case) for case in options.case] if options.case else CASES
    compare(
        model_of(options.shape, options.device),
        cases,
        rounds=options.rounds,
        with_trl=not options.no_trl and options.device == "cpu",
        bf16=options.bf16,
    )
    if not options.no_memory:
        if options.device != "cpu":
            torch.cuda.empty_cache()  # the processes that measure it need the room
        memory(MEMORY_TOKENS, sys.argv[1:])


if __name__ == "__main__":
    main()
