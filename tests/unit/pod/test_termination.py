"""Termination messages fit into what Kubernetes keeps, are always JSON, and say first what the plan depends on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from learntoask.core.pod_contract import LONGEST_TERMINATION_MESSAGE, TerminationMessage
from learntoask.pod.termination import failure_message, success_message, write_message

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=800),
    lambda inner: st.lists(inner, max_size=8) | st.dictionaries(st.text(max_size=30), inner, max_size=8),
    max_leaves=30,
)


def _written(folder: Path, message: TerminationMessage) -> bytes:
    path = folder / "termination-log"
    write_message(path, message)
    return path.read_bytes()


@given(summary=st.dictionaries(st.text(max_size=40), JSON, max_size=20))
def test_a_success_always_fits(tmp_path_factory: pytest.TempPathFactory, summary: dict[str, object]) -> None:
    message = success_message("0" * 64, summary, skipped=False, seconds=12.345)
    content = _written(tmp_path_factory.mktemp("pod"), message)
    assert len(content) <= LONGEST_TERMINATION_MESSAGE
    read = json.loads(content)
    assert (read["output"], read["skipped"], read["seconds"]) == ("0" * 64, False, 12.3)
    assert set(read["summary"]) <= set(json.loads(json.dumps(summary).encode()))


@given(reason=st.text(max_size=60), message=st.text(max_size=9000))
def test_a_failure_always_fits(tmp_path_factory: pytest.TempPathFactory, reason: str, message: str) -> None:
    content = _written(tmp_path_factory.mktemp("pod"), failure_message(reason, message, retryable=True))
    assert len(content) <= LONGEST_TERMINATION_MESSAGE
    assert json.loads(content)["retryable"] is True


def test_of_a_long_message_beginning_and_end_are_kept() -> None:
    message = failure_message("Crashed", "what is wrong: " + "x" * 9000 + " out of memory", retryable=False)
    assert message.message.startswith("what is wrong: ")
    assert message.message.endswith(" out of memory")


def test_of_a_long_summary_the_verdict_and_the_figures_are_kept() -> None:
    summary = {
        "table": ["x" * 100] * 100,
        "loss": 0.5,
        "message": "m" * 1000,
        "small": {"a": 1},
        "passed": False,
    }
    message = success_message(None, summary, skipped=True, seconds=0)
    assert message.summary == {"loss": 0.5, "message": "m" * 1000, "small": {"a": 1}, "passed": False}


def test_without_the_file_the_log_has_the_words(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    write_message(tmp_path / "absent" / "log", failure_message("DiskFull", "no room", retryable=False))
    assert '"message": "no room"' in caplog.text
