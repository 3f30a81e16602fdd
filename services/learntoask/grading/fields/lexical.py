"""A linear model over feature crosses of (word or pair of words) × (field): which words ask for which fields.

A field is represented by its title's words, by itself, and by "any field". So what the model learns about `departure
date` carries over to every field with one of these words, also in a task without examples. The model separates what a
sentence encoder confuses, such as "date" and "time" or "from" and "to".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from learntoask.core.text.words import stems
from learntoask.grading.fields.candidates import Candidate, hashes

SLOTS = 1 << 18
_MIX = np.uint64(0x9E3779B97F4A7C15)  # 2^64 / golden ratio: multiplicative hashing
_SHIFT = np.uint64(64 - 18)


@dataclass(frozen=True, kw_only=True)
class LexicalModel:
    """One set of weights per fold, fitted on the sessions of the other folds."""

    weights: NDArray[np.float32]  # [folds, SLOTS]
    intercepts: NDArray[np.float64]  # [folds]

    def logits(self, text: str, candidates: Sequence[Candidate], *, fold: int) -> NDArray[np.float64]:
        """Return the log-odds that `text` asks for each candidate, [len(candidates)]."""
        row = self.weights[fold]
        found = np.array([self.intercepts[fold]] * len(candidates))
        for index, (slots, values) in enumerate(crosses(text, candidates)):
            found[index] += row[slots].astype(np.float64) @ values
        return found


def crosses(
    text: str, candidates: Sequence[Candidate]
) -> list[tuple[NDArray[np.int64], NDArray[np.float64]]]:
    """Return for each candidate the slots and the values of its crosses with the words of `text`. Slots may repeat."""
    phrases = hashes(_phrases(text))
    return [
        (
            (((phrases[:, None] << np.uint64(32) | candidate.keys[None]) * _MIX) >> _SHIFT)
            .astype(np.int64)
            .ravel(),
            np.tile(candidate.key_values, len(phrases)),
        )
        for candidate in candidates
    ]


def _phrases(text: str) -> list[str]:
    """Return the distinct stems and pairs of neighbouring stems. The ends of the text count as neighbours."""
    sequence = ["^", *stems(text), "$"]
    return list(dict.fromkeys([*sequence[1:-1], *(f"{left} {right}" for left, right in pairwise(sequence))]))
