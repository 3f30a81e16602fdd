"""What `lta run` prints about a stage that ended."""

from __future__ import annotations

from io import StringIO

from learntoask.local.display import RunDisplay
from rich.console import Console


def test_a_stage_ends_with_its_warnings() -> None:
    out = StringIO()
    display = RunDisplay(Console(file=out, width=200))
    display.ended("prepare", failure=None, took=1.5, warnings=["12 messages held HTML [p]"])
    display.ended("label", failure=None, took=2)
    assert out.getvalue().splitlines() == [
        "✓ prepare   1.5s",
        "  warning: 12 messages held HTML [p]",
        "✓ label     2.0s",
    ]
