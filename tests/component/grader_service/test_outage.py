"""Training goes on when its grader service is killed; decision points without a grade are masked and counted."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch
from learntoask.core.errors import TooManyMissing
from learntoask.grading.grades import Grade, GradeCase, Grader, MissingGrade
from learntoask.training.grpo.run import GrpoResult
from learntoask.training.grpo.trainer import GrpoTrainer
from worlds import tiny_training as tiny
from worlds.grader_service import Process, ScriptedGrader, remote, until_answered


@pytest.fixture(scope="module")
def warm(tmp_path_factory: pytest.TempPathFactory) -> dict[str, torch.Tensor]:
    torch.set_num_threads(1)
    return tiny.warm_weights(tmp_path_factory.mktemp("warm"))


@pytest.fixture
def service():
    running = Process(slow=0.02)
    running.start()
    yield running
    running.kill()


class Watched:
    """A grader that runs `before` ahead of each call; the first call is the validation of the SFT policy."""

    digest = "watched"

    def __init__(self, grader: Grader, events: dict[int, Callable[[], None]]) -> None:
        self._grader = grader
        self._events = events
        self.calls = 0

    def grade(self, cases: Sequence[GradeCase]) -> list[Grade | MissingGrade]:
        self.calls += 1
        self._events.get(self.calls, lambda: None)()
        return self._grader.grade(cases)


def train(
    work: Path, warm: dict[str, torch.Tensor], grader: Grader, *, max_missing_share: float = 0.2
) -> tuple[GrpoResult, dict[str, torch.Tensor]]:
    work.mkdir()
    run = tiny.grpo_run(work, updates=3, max_missing_share=max_missing_share)
    policy = tiny.warmed(warm)
    trainer = GrpoTrainer(
        policy,
        tiny.warmed(warm),
        tiny.sessions(12),
        tiny.sessions(2, "validation"),
        grader=grader,
        run=run,
    )
    result, _ = trainer.train(tiny.Quiet())
    return result, torch.load(work / "grpo.pt", weights_only=True)["weights"]


def test_a_run_whose_service_is_killed_and_restarted_ends_with_the_very_same_weights(
    tmp_path: Path, warm, service: Process
) -> None:
    def restart(after: float) -> None:
        time.sleep(after)
        service.kill()
        service.start()

    def killed() -> None:
        """Kill the service between two batches."""
        service.kill()
        threading.Timer(0.3, service.start).start()

    def killed_soon() -> None:
        """Kill the service while it grades."""
        threading.Thread(target=restart, args=(0.1,)).start()

    with remote(service.address, retry_for=120) as grader:
        watched = Watched(grader, {2: killed, 3: killed_soon})
        result, weights = train(tmp_path / "remote", warm, watched)
    assert result.missing_share == 0
    assert watched.calls >= 4
    _, expected = train(tmp_path / "here", warm, ScriptedGrader())
    assert all(torch.equal(weights[name], expected[name]) for name in expected)


def test_grades_lost_in_an_outage_are_masked_and_counted_and_the_run_goes_on(
    tmp_path: Path, warm, service: Process
) -> None:
    def back() -> None:
        service.start()
        until_answered(grader)

    with remote(service.address, retry_for=0.5) as grader:
        watched = Watched(grader, {2: service.kill, 3: back})
        result, _ = train(tmp_path / "run", warm, watched, max_missing_share=1.0)
    assert result.updates == 3
    rows = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    missing = [row["missing"] for row in rows if row["kind"] == "grpo"]
    assert missing[0] > 0.5
    assert missing[1:] == [0.0, 0.0]
    assert result.missing_share == pytest.approx(missing[0] / 3, rel=0.5)


def test_more_than_the_allowed_share_stops_the_run_with_the_reason(
    tmp_path: Path, warm, service: Process
) -> None:
    with (
        remote(service.address, retry_for=0.5) as grader,
        pytest.raises(TooManyMissing, match=r"GRPO, batch 1: .* gave no answer \(UNAVAILABLE"),
    ):
        train(tmp_path / "run", warm, Watched(grader, {2: service.kill}))
