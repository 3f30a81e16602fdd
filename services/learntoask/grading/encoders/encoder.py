"""What a sentence encoder is, and the vectors it makes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from learntoask.core.stages.contract import ProgressCallback

Vectors = NDArray[np.float32]
EncoderName = Literal["minilm", "hashing"]


class Encoder(Protocol):
    """Encodes texts as vectors."""

    name: EncoderName
    version: str  # of the weights; part of a grader's digest, because other weights give other grades
    dimension: int

    def encode(self, texts: Sequence[str], report: ProgressCallback | None = None) -> Vectors:
        """Return unit vectors, [len(texts), dimension]; zeros for a text without a token.

        A vector depends on its text alone, not on the other texts.
        """


def unit_vectors(vectors: Vectors) -> Vectors:
    """Scale each row [n, dimension] to length 1; rows of zeros stay."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    scaled: Vectors = (vectors / np.where(lengths > 0, lengths, 1)).astype(np.float32)
    return scaled
