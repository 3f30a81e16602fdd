"""What the stage GRPO publishes beside the weights."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from learntoask.core.json_lines import read_records
from learntoask.core.manifest import Dataset, RunSpec
from learntoask.core.records import LabelledSession
from learntoask.core.stages.contract import StageContext
from learntoask.core.stages.policy_choice import published_choice
from learntoask.grading import stage as grader
from learntoask.grading.cues import read_cues
from learntoask.labeling.check import check_file
from learntoask.policy.stopping import published_stopping
from learntoask.training.base.packaged import packaged_tokenizer
from learntoask.training.base.tiny import tiny_model, tiny_tokenizer
from learntoask.training.grpo import stage as grpo
from learntoask.training.sft.targets import split_for_training
from worlds import swahili
from worlds.grader import grader_context


def test_the_policy_carries_the_cues_of_the_grader_that_rewarded_it(tmp_path: Path) -> None:
    labelled = []
    logs = swahili.write_logs(tmp_path / "logs.jsonl", 30)
    check_file(logs, swahili.PACK, Dataset(uri="logs.jsonl"), examine=labelled.append)
    graded = grader_context(tmp_path / "grader", labelled, pack=swahili.PACK)
    grader.run(graded)
    cues = read_cues(graded.out / "rewarding")
    assert cues

    out = run_grpo(tmp_path, graded)
    assert read_cues(out / "model") == cues
    choice = published_choice(out)
    assert choice is not None
    assert (choice.policy, published_stopping(out)) == ("sft", None)


@pytest.mark.parametrize(("updates", "kept_share"), [(0, 0.0), (1, 0.5)])  # without GRPO SFT learns from all
def test_a_chosen_threshold_is_published_with_what_it_rests_on(
    tmp_path: Path, updates: int, kept_share: float
) -> None:
    labelled = []
    logs = swahili.write_logs(tmp_path / "logs.jsonl", 30)
    check_file(logs, swahili.PACK, Dataset(uri="logs.jsonl"), examine=labelled.append)
    for index in range(0, len(labelled), 5):
        session = labelled[index].session.model_copy(update={"split": "validation"})
        labelled[index] = labelled[index].model_copy(update={"session": session})
    graded = grader_context(tmp_path / "grader", labelled, pack=swahili.PACK)
    grader.run(graded)
    out = run_grpo(
        tmp_path,
        graded,
        stopThreshold="auto",
        maxNewTokens=4,
        sft={"keptShare": 0.5},
        grpo={"updates": updates, "batchSessions": 2, "groupSize": 2},
    )
    stopping = published_stopping(out)
    assert stopping is not None
    kept = split_for_training(
        read_records(graded.inputs["label"] / "labelled.jsonl", LabelledSession),
        kept_share=kept_share,
        seed=0,
    )
    held = [*kept.validation, *kept.kept]
    assert stopping.sessions == len(held) > 0
    samples = [sample for session in held for sample in session.samples]
    assert stopping.points == len(samples)
    assert stopping.stops == sum(sample.decision == "stop" for sample in samples)
    assert 0 < stopping.threshold < 1


def run_grpo(folder: Path, graded: StageContext, **train: object) -> Path:
    """Run the stage on a tiny policy, without updates unless `train` names some, and return what it published."""
    tokenizer = tiny_tokenizer(packaged_tokenizer())
    tiny_model(tokenizer, seed=0).save_pretrained(folder / "sft" / "model")
    tokenizer.save_pretrained(folder / "sft" / "model")
    spec = {"dataset": {"uri": "l"}, "pack": {"uri": "p"}, "train": {"grpo": {"updates": 0}, **train}}
    out, work = folder / "out", folder / "work"
    out.mkdir()
    work.mkdir()
    grpo.run(
        replace(
            graded,
            stage="grpo",
            spec=RunSpec.model_validate(spec),
            inputs={"label": graded.inputs["label"], "grader": graded.out, "sft": folder / "sft"},
            out=out,
            work=work,
        )
    )
    return out
