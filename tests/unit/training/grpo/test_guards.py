"""The guard against collapsed output."""

from __future__ import annotations

from pathlib import Path

import pytest
from learntoask.core.errors import StageError
from learntoask.training.grpo.guards import check_output
from learntoask.training.grpo.samples import BatchFigures
from worlds import tiny_training as tiny

GOOD = BatchFigures(reward=1.0, hit=0.5, missing=0.0, unfinished=0.1, wrong_stops=0.0, commonest=0.2)
MUTE = BatchFigures(reward=0.0, hit=0.0, missing=0.0, unfinished=0.9, wrong_stops=0.0, commonest=0.1)
SAME = BatchFigures(reward=1.0, hit=1.0, missing=0.0, unfinished=0.0, wrong_stops=0.0, commonest=0.9)


@pytest.mark.parametrize(
    ("figures", "finding"), [(MUTE, "90% of the answers never end"), (SAME, "90% of .* same")]
)
def test_a_first_batch_warns_of_the_sft_policy_and_a_later_one_stops_the_run(
    figures: BatchFigures, finding: str, tmp_path: Path
) -> None:
    run = tiny.grpo_run(tmp_path)
    warning = check_output(figures, answers=40, run=run, update=0)
    assert warning is not None
    assert "published unchanged" in warning
    with pytest.raises(StageError, match=f"batch 4: {finding}") as raised:
        check_output(figures, answers=40, run=run, update=3)
    assert raised.value.reason == "CollapsedOutput"


def test_good_output_and_few_equal_questions_pass(tmp_path: Path) -> None:
    run = tiny.grpo_run(tmp_path)
    assert check_output(GOOD, answers=40, run=run, update=3) is None
    assert check_output(SAME, answers=8, run=run, update=3) is None


def test_a_baseline_samples_from_the_sft_policy_which_cannot_collapse(tmp_path: Path) -> None:
    run = tiny.grpo_run(tmp_path, method="dpo")
    assert check_output(MUTE, answers=40, run=run, update=3) is None
