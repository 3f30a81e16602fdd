"""The DeepSpeed configuration: it follows from the manifest, and no name in the user's settings is silently ignored."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from learntoask.core.deepspeed import ZERO, deepspeed_config
from learntoask.core.manifest import Distributed
from pydantic import ValidationError


def test_the_users_part_is_merged_into_what_the_manifest_says() -> None:
    settings = Distributed.model_validate(
        {
            "workers": 8,
            "zero": 3,
            "deepspeed": {
                "wall_clock_breakdown": True,
                "zero_optimization": {"overlap_comm": True, "offload_optimizer": {"device": "cpu"}},
            },
        }
    )
    config = deepspeed_config(zero=3, max_norm=0.5, override=settings.deepspeed)
    assert config["wall_clock_breakdown"] is True
    assert config["gradient_clipping"] == 0.5
    assert config["zero_optimization"] == {
        "stage": 3,
        "contiguous_gradients": True,
        "overlap_comm": True,
        "offload_optimizer": {"device": "cpu"},
    }


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ({"zero_optimisation": {}}, "zero_optimization"),
        ({"zero_optimization": {"overlap_com": True}}, r"zero_optimization\.overlap_comm"),
        ({"zero_optimization": {"offload_param": {"devise": "cpu"}}}, r"offload_param\.device"),
        ({"zero_optimization": {"offload_param": {"device": "disk"}}}, "cpu, nvme"),
        ({"zero_optimization": {"stage": 2}}, r"spec\.train\.distributed\.zero"),
        ({"optimizer": {"type": "Lamb"}}, r"spec\.train\.sft"),
        ({"zero_optimization": 3}, "must be a mapping"),
    ],
)
def test_what_deepspeed_would_not_heed_is_refused_by_name(override: dict, said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        Distributed.model_validate({"zero": 2, "deepspeed": override})


@given(st.sampled_from(sorted(ZERO)), st.integers())
def test_an_override_changes_what_it_names_and_nothing_else(name: str, value: int) -> None:
    before = deepspeed_config(zero=2, max_norm=1.0, override={})
    after = deepspeed_config(zero=2, max_norm=1.0, override={"zero_optimization": {name: value}})
    assert after["zero_optimization"][name] == value
    kept = {key: other for key, other in after["zero_optimization"].items() if key != name}
    assert kept == {key: other for key, other in before["zero_optimization"].items() if key != name}
    assert {**after, "zero_optimization": 0} == {**before, "zero_optimization": 0}


def test_the_known_names_are_deepspeeds() -> None:
    config = pytest.importorskip(
        "deepspeed.runtime.zero.config", reason="DeepSpeed (extra `scale`) is absent"
    )
    fields = config.DeepSpeedZeroConfig.model_fields
    known = {*fields, *(field.alias for field in fields.values() if field.alias)}
    assert known >= ZERO
