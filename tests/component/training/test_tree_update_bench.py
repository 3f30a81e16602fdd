"""The benchmark of tree updates, with the shapes and flags of tests/bench/on_gpu.sh as far as a CPU can run them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

BENCH = Path(__file__).resolve().parents[2] / "bench/bench_tree_update.py"


@pytest.mark.parametrize(("flags", "error"), [((), 1e-5), (("--bf16", "--lora"), 0.05)])
def test_all_ways_have_the_gradient_of_the_tree(flags: tuple[str, ...], error: float) -> None:
    command = [
        sys.executable,
        str(BENCH),
        "--shape",
        "tiny-qwen2",
        "--first",
        "60",
        "--case",
        "2",
        "2",
        *flags,
    ]
    ended = subprocess.run(
        [*command, "--rounds", "1", "--no-trl", "--no-memory", "--check"],
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    rows, padded = (float(part) for part in ended.stdout.splitlines()[-1].rsplit("|", 1)[1].split(","))
    assert 0 <= rows < error
    assert 0 <= padded < error
