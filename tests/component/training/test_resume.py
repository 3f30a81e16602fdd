"""A training run that is killed at random points ends with the same weights as an uninterrupted run."""

from __future__ import annotations

import json
import multiprocessing
import random
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from safetensors.torch import save_file
from worlds import tiny_training

# A forked child has torch and transformers imported, so a kill costs no import.
FORK = multiprocessing.get_context("forkserver")
FORK.set_forkserver_preload(["worlds.tiny_training"])
KILLS = 3


def run(target: Callable[..., None], *arguments: Path | str, kill_after: int | None = None) -> None:
    """Run `target` in a process; with `kill_after`, kill it a moment after its journal has that many records."""
    process = FORK.Process(target=target, args=arguments)
    process.start()
    journal = arguments[0] / "metrics.jsonl"
    while kill_after is not None and process.is_alive():
        if journal.exists() and journal.read_text().count("\n") >= kill_after:
            time.sleep(random.uniform(0, 0.05))
            process.kill()
            break
        time.sleep(0.005)
    process.join()
    assert process.exitcode == 0 or kill_after is not None, f"exit code {process.exitcode}"


@pytest.mark.timeout(900)
@pytest.mark.parametrize(("kind", "rows"), [("next", 23), ("hindsight", 23), ("grpo", 14), ("dpo", 14)])
def test_killed_runs_end_with_the_same_weights(
    kind: str, rows: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The fork server of Python 3.11 looks for what it preloads on its own path, not on ours.
    monkeypatch.setenv("PYTHONPATH", str(Path(tiny_training.__file__).parents[1]))
    is_sft = kind in ("next", "hindsight")
    target = tiny_training.train_sft if is_sft else tiny_training.train_grpo
    more: list[Path | str] = [kind] if is_sft else []
    if not is_sft:
        (tmp_path / "warm").mkdir()
        more = [tmp_path / "warm.safetensors"]
        save_file(tiny_training.warm_weights(tmp_path / "warm"), more[0])
        more.append(kind)
    for name in ("alone", "killed"):
        (tmp_path / name).mkdir()
    run(target, tmp_path / "alone", tmp_path / "alone.safetensors", *more)
    draw = random.Random()
    points = sorted(draw.sample(range(1, rows), KILLS))
    print("killed after rows", points)
    for point in points:
        run(target, tmp_path / "killed", tmp_path / "killed.safetensors", *more, kill_after=point)
    run(target, tmp_path / "killed", tmp_path / "killed.safetensors", *more)
    assert (tmp_path / "alone.safetensors").read_bytes() == (tmp_path / "killed.safetensors").read_bytes()
    # The journals are equal too, except for the seconds.
    journals = [_rows(tmp_path / name / "metrics.jsonl") for name in ("alone", "killed")]
    assert journals[0] == journals[1]
    assert len(journals[0]) == rows


def _rows(journal: Path) -> list[dict[str, float]]:
    rows = [json.loads(line) for line in journal.read_text().splitlines()]
    return [{name: value for name, value in row.items() if not name.endswith("_seconds")} for row in rows]
