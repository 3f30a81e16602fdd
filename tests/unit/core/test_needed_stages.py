"""`lta run --until STAGE` computes the stage and what it needs, and nothing else."""

from __future__ import annotations

import pytest
from learntoask.core.errors import InputError
from learntoask.core.stages.graph import STAGE_BY_NAME, needed_for


def test_labels_need_prepared_sessions_and_no_base_model() -> None:
    assert needed_for("label", calibrated=False) == {"prepare", "label"}


def test_the_last_stage_needs_all_others() -> None:
    needed = needed_for("serve", calibrated=False)
    assert {"fetch", "prepare", "label", "grader", "sft", "grpo"} <= needed


@pytest.mark.parametrize("name", sorted(STAGE_BY_NAME))
def test_what_a_stage_needs_has_all_that_it_needs_itself(name: str) -> None:
    for calibrated in (False, True):
        needed = needed_for(name, calibrated=calibrated)
        assert all(needed_for(other, calibrated=calibrated) <= needed for other in needed)


def test_an_unknown_stage_is_refused_with_all_names() -> None:
    with pytest.raises(InputError, match="there is no stage 'lable'; the stages are"):
        needed_for("lable", calibrated=False)
