"""SFT on SGD: sessions packed as trees against one row per trained turn, in samples a second.

    python tests/bench/bench_sft_packing.py [--sessions 16] [--threads 1] [--rounds 2]

All ways use the same base (SmolLM2-135M-Instruct), prompts, targets and loss; each makes forward and backward passes
with logits of the targets only. The rows have no padding: every trained turn is a separate tree in the same packing,
which is the best that rows can do. Padded batches of 8 rows are what the usual trainers run. `share` is the speed-up
over the rows divided by the token ratio, which is its limit. Seconds are CPU seconds of this process.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from learntoask.core.json_lines import read_records
from learntoask.core.manifest import RunSpec
from learntoask.core.pack import Pack, load_pack
from learntoask.core.records import LabelledSession
from learntoask.core.stages.contract import StageContext
from learntoask.labeling import stage as label
from learntoask.labeling.logs import stage as prepare
from learntoask.policy.model import Policy
from learntoask.training.base.packaged import packaged_model, packaged_tokenizer
from learntoask.training.sft.targets import supervised_trees
from learntoask.training.tree.attention import enable_tree_attention
from learntoask.training.tree.layout import SessionTree, fill_micro_batches, pack_micro_batch
from learntoask.training.tree.scoring import score

ROOT = Path(__file__).resolve().parents[2]
DATA = Path(os.environ.get("LTA_DATA", ROOT.parent / "shared/data")) / "sgd"
ROW_TOKENS = 1024
BATCH = 8


class Quiet:
    def update(self, done: float, total: float, message: str = "", **metrics: float) -> None:
        pass


def labelled_sessions(pack: Pack, count: int) -> list[LabelledSession]:
    spec = RunSpec.model_validate(
        {
            "dataset": {"uri": "train.jsonl", "maxSessions": count, "testShare": 0.01, "validationShare": 0},
            "pack": {"uri": "pack.yaml"},
            "label": {"method": "annotated"},
        }
    )
    with tempfile.TemporaryDirectory() as folder:
        inputs: dict[str, Path] = {}
        for name, run in (("prepare", prepare.run), ("label", label.run)):
            out, work = Path(folder, name), Path(folder, name + "-work")
            out.mkdir()
            work.mkdir()
            run(
                StageContext(
                    stage=name,
                    key=name,
                    spec=spec,
                    pack=pack,
                    inputs=inputs,
                    files={"dataset": DATA / "train.jsonl"},
                    out=out,
                    work=work,
                    progress=Quiet(),
                )
            )
            inputs = {**inputs, name: out}
        return list(read_records(inputs["label"] / "labelled.jsonl", LabelledSession))


def packed(policy: Policy, trees: Sequence[SessionTree]) -> None:
    for indices in fill_micro_batches([tree.size for tree in trees], budget=ROW_TOKENS):
        micro_batch = pack_micro_batch([trees[index] for index in indices])
        score(policy.model, micro_batch).logprobs.sum().backward()


def padded(policy: Policy, trees: Sequence[SessionTree]) -> None:
    """Train every completion as a row, in batches padded to their longest row, by transformers' own attention."""
    rows = [
        (tree.trunk[: completion.attach] + completion.tokens, completion.attach)
        for tree in trees
        for completion in tree.completions
    ]
    for start in range(0, len(rows), BATCH):
        batch = rows[start : start + BATCH]
        width = max(len(row) for row, _ in batch)
        ids = torch.tensor([[*row, *[0] * (width - len(row))] for row, _ in batch])
        mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row, _ in batch])
        hidden = policy.model.base_model(
            input_ids=ids, attention_mask=mask, use_cache=False
        ).last_hidden_state
        places = [
            (index, place)
            for index, (row, attach) in enumerate(batch)
            for place in range(attach - 1, len(row) - 1)
        ]
        which, where = torch.tensor(places).T
        logs = policy.model.get_output_embeddings()(hidden[which, where]).log_softmax(-1)
        logs.gather(1, ids[which, where + 1][:, None]).sum().backward()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pack", type=Path, default=ROOT / "examples/sgd/pack.yaml")
    parser.add_argument("--sessions", type=int, default=16)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=2)
    options = parser.parse_args()
    if not DATA.exists() or not options.pack.exists():
        print(
            f"needs {DATA} (set LTA_DATA) and {options.pack} (python examples/sgd/make_pack.py)",
            file=sys.stderr,
        )
        return 2
    torch.set_num_threads(options.threads)
    model = packaged_model()
    enable_tree_attention(model)
    policy = Policy(model=model.train(), tokenizer=packaged_tokenizer(), pack=load_pack(options.pack))
    trees = [
        tree
        for session in labelled_sessions(policy.pack, options.sessions)
        for tree in supervised_trees(policy, session, turns="labelled").trees
    ]
    alone = [SessionTree(tree.trunk, (completion,)) for tree in trees for completion in tree.completions]
    ways: dict[str, tuple[Callable[[], None], int]] = {
        "sessions packed": (lambda: packed(policy, trees), sum(tree.size for tree in trees)),
        "a row per turn": (lambda: packed(policy, alone), sum(tree.size for tree in alone)),
        "padded, 8 rows": (lambda: padded(policy, trees), sum(tree.size for tree in alone)),
    }
    best: dict[str, float] = {}
    gradients: dict[str, torch.Tensor] = {}
    for _ in range(options.rounds):
        for name, (way, _tokens) in ways.items():
            model.zero_grad(set_to_none=True)
            start = time.process_time()
            way()
            seconds = time.process_time() - start
            best[name] = min(seconds, best.get(name, seconds))
            gradients[name] = model.get_input_embeddings().weight.grad.clone()
    samples = len(alone)
    ratio = ways["a row per turn"][1] / ways["sessions packed"][1]
    print(f"{options.sessions} sessions, {samples} samples; token ratio {ratio:.2f}")
    print(
        "way             |  tokens | CPU s | samples/s | speed-up | share of token ratio | gradient differs by"
    )
    whole = gradients["sessions packed"]
    for name, (_, tokens) in ways.items():
        speed_up = best[name] / best["sessions packed"]
        difference = float((gradients[name] - whole).norm() / whole.norm())
        share = f"{speed_up / ratio:20.0%}" if name == "a row per turn" else " " * 20
        print(
            f"{name:15} | {tokens:7,d} | {best[name]:5.1f} | {samples / best[name]:9.2f} | {speed_up:7.2f}× | "
            f"{share} | {difference:.0e}"
        )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
