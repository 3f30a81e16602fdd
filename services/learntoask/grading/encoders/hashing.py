"""Hashed character n-grams as a sentence encoder: no model and no torch, for tiny runs."""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import numpy as np

from learntoask.core.stages.contract import ProgressCallback
from learntoask.grading.encoders.encoder import EncoderName, Vectors, unit_vectors
from learntoask.grading.text import words

_GRAM_SIZES = (3, 4, 5)


class HashingEncoder:
    """Square roots of the counts of hashed words and of their character 3- to 5-grams. See Encoder."""

    name: EncoderName = "hashing"
    version = "1"
    dimension = 1024

    def encode(self, texts: Sequence[str], report: ProgressCallback | None = None) -> Vectors:
        """See Encoder."""
        out = np.zeros((len(texts), self.dimension), dtype=np.float32)
        for row, text in enumerate(texts):
            for word in words(text):
                padded = f"^{word}$"
                out[row, _slot(padded, self.dimension)] += 2
                for size in _GRAM_SIZES:
                    for start in range(len(padded) - size + 1):
                        out[row, _slot(padded[start : start + size], self.dimension)] += 1
        if report:
            report(len(texts), len(texts))
        return unit_vectors(np.sqrt(out))


def _slot(gram: str, slots: int) -> int:
    return zlib.crc32(gram.encode("utf-8", errors="surrogatepass")) % slots
