"""Hashed character n-grams as a sentence encoder: no model and no torch, for tiny runs and for any language."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from itertools import groupby

import numpy as np

from learntoask.core.stages.contract import ProgressCallback
from learntoask.core.text.words import is_unspaced, words
from learntoask.grading.encoders.encoder import EncoderName, Vectors, unit_vectors

_GRAM_SIZES = (3, 4, 5)
_UNSPACED_GRAM_SIZES = (1, 2, 3)  # a Chinese word has one or two characters


class HashingEncoder:
    """Square roots of the counts of hashed words and of their character n-grams. See Encoder.

    In scripts without spaces between words, n-grams also span words.
    """

    name: EncoderName = "hashing"
    version = "2"
    dimension = 1024

    def encode(self, texts: Sequence[str], report: ProgressCallback | None = None) -> Vectors:
        """See Encoder."""
        out = np.zeros((len(texts), self.dimension), dtype=np.float32)
        for row, text in enumerate(texts):
            for gram, weight in _grams(text):
                out[row, _slot(gram, self.dimension)] += weight
        if report:
            report(len(texts), len(texts))
        return unit_vectors(np.sqrt(out))


def _grams(text: str) -> Iterator[tuple[str, int]]:
    """Yield words and n-grams with their weights."""
    for unspaced, group in groupby(words(text), key=is_unspaced):
        units = list(group)
        for word in units:
            yield f"^{word}$", 2
        sizes = _UNSPACED_GRAM_SIZES if unspaced else _GRAM_SIZES
        for run in ["".join(units)] if unspaced else [f"^{word}$" for word in units]:
            for size in sizes:
                for start in range(len(run) - size + 1):
                    yield run[start : start + size], 1


def _slot(gram: str, slots: int) -> int:
    return zlib.crc32(gram.encode("utf-8", errors="surrogatepass")) % slots
