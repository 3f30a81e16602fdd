"""Progress is passed on at most ten times a second, and its end always."""

from __future__ import annotations

from typing import Any

import pytest
from learntoask.progress.throttled import ThrottledProgress


def test_reports_between_two_tenths_of_a_second_are_dropped_but_not_the_last(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 100.0
    monkeypatch.setattr("learntoask.progress.throttled.time.monotonic", lambda: now)
    sent: list[dict[str, Any]] = []
    progress = ThrottledProgress(sent.append)
    progress.update(1, 3, "reading", loss=0.5)
    now = 100.05
    progress.update(2, 3, "reading")
    progress.update(3, 3, "reading")
    assert [report["done"] for report in sent] == [1, 3]
    assert sent[0] == {"done": 1, "total": 3, "message": "reading", "metrics": {"loss": 0.5}}
