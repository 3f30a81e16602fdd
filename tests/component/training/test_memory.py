"""An update that does not fit into memory is computed in smaller micro-batches; at the minimum the stage stops."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from learntoask.core.errors import StageError
from learntoask.training.optim import learner
from learntoask.training.sft.trainer import SftTrainer
from learntoask.training.tree.layout import MicroBatch
from learntoask.training.tree.scoring import Scores, score
from worlds import tiny_training as tiny


def train(work: Path, *, row_tokens: int = 500) -> dict[str, torch.Tensor]:
    work.mkdir()
    policy = tiny.policy()
    run = replace(
        tiny.sft_run(work), row_tokens=row_tokens
    )  # the two sessions of a batch share a micro-batch
    SftTrainer(policy, tiny.sessions(8), [], run=run).train(tiny.Quiet())
    return dict(policy.model.named_parameters())


def memory_for(monkeypatch: pytest.MonkeyPatch, tokens: int) -> list[int]:
    """Let micro-batches of more than `tokens` tokens fail; returns the sizes of those that were tried."""
    tried: list[int] = []

    def scored(model, packed: MicroBatch, **more) -> Scores:
        tried.append(len(packed.tokens))
        if len(packed.tokens) > tokens:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return score(model, packed, **more)

    monkeypatch.setattr(learner, "score", scored)
    return tried


def test_smaller_rows_learn_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tried = memory_for(monkeypatch, 10_000)
    expected = train(tmp_path / "enough")
    largest = max(tried)
    tried = memory_for(monkeypatch, largest - 1)
    found = train(tmp_path / "scarce")
    assert tried.count(largest) == 1
    for name, weight in expected.items():
        torch.testing.assert_close(found[name], weight, rtol=2e-3, atol=3e-4)


@pytest.mark.parametrize(("row_tokens", "tries"), [(500, 2), (2048, 3)])
def test_where_nothing_fits_the_stage_says_what_to_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, row_tokens: int, tries: int
) -> None:
    tried = memory_for(monkeypatch, 1)
    with pytest.raises(StageError, match="rowTokens") as raised:
        train(tmp_path / "none", row_tokens=row_tokens)
    assert raised.value.reason == "OutOfMemory"
    assert len(tried) == tries
