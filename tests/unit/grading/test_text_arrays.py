"""Texts are stored in room that follows the sum of their lengths."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from learntoask.grading.encoders.text_arrays import text_arrays, texts_of

TEXTS = ["Since when?", "", "多大年纪？", "x" * 60_000, "How old? 😀\n"]


@pytest.mark.parametrize("texts", [TEXTS, [], [""]])
def test_texts_come_back_as_they_were(tmp_path: Path, texts: list[str]) -> None:
    np.savez(tmp_path / "texts.npz", **text_arrays(texts))
    with np.load(tmp_path / "texts.npz", allow_pickle=False) as stored:
        assert texts_of(stored) == texts


def test_files_of_earlier_versions_are_read() -> None:
    assert texts_of({"texts": np.array(["a", "bc"])}) == ["a", "bc"]


def test_one_long_text_costs_its_own_length_only() -> None:
    arrays = text_arrays([*(f"question {number}?" for number in range(2000)), "x" * 60_000])
    assert sum(array.nbytes for array in arrays.values()) < 200_000
