"""The tables of docs/capacity.md are computed from the figures that the page names."""

from __future__ import annotations

import runpy
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
CAPACITY = runpy.run_path(str(ROOT / "tools/generate_capacity.py"))


def test_the_tables_are_current() -> None:
    command = [sys.executable, ROOT / "tools" / "generate_capacity.py", "--check"]
    assert subprocess.run(command, check=False).returncode == 0, "run `make docs`"


def test_a_day_of_conversations_becomes_asks_at_the_peak() -> None:
    mean = 86_400 / CAPACITY["ASKS"].value  # conversations per day that make one ask per second on average
    assert CAPACITY["asks_at_peak"](mean) == pytest.approx(CAPACITY["PEAK"].value)


def test_cores_are_planned_with_room_to_spare() -> None:
    assert CAPACITY["cores"](600, 1.0) == 1
    assert CAPACITY["cores"](601, 1.0) == 2


def test_every_figure_says_where_it_is_from() -> None:
    page = CAPACITY["PAGE"].read_text(encoding="utf-8")
    for figure in CAPACITY["MEASURED"]:
        assert figure.source
        assert f"| {figure.unit} | {figure.source} |" in page
