"""What a sentence encoder is, and the vectors it makes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float32]
EncoderName = Literal["minilm", "hashing"]
Report = Callable[[int, int], None]


class Encoder(Protocol):
    name: EncoderName
    version: str  # part of a grader's digest: other weights, other grades
    dimension: int

    def encode(self, texts: Sequence[str], report: Report | None = None) -> Vectors:
        """Unit vectors, [len(texts), dimension], each a function of its text alone; zeros where it has no token."""


def unit(vectors: Vectors) -> Vectors:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    scaled: Vectors = (vectors / np.where(lengths > 0, lengths, 1)).astype(np.float32)
    return scaled
