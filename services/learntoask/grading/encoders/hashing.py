"""Sentence encoders: short texts to unit vectors, so that a dot product is a similarity.

`minilm` is a packaged sentence encoder (module minilm). `hashing` counts hashed character n-grams: no model and no
torch, for tiny runs.
"""

from __future__ import annotations

import zlib
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from learntoask.grading.encoders.encoder import Encoder, EncoderName, Report, Vectors, unit
from learntoask.grading.text import words

_GRAM_SIZES = (3, 4, 5)
_CACHED_TEXTS = 50_000  # 77 MB of MiniLM vectors
_JOURNAL_TEXTS = 512  # texts between writes to the journal


def load_encoder(name: EncoderName) -> Encoder:
    if name == "hashing":
        return Hashing()
    from learntoask.grading.encoders.minilm import MiniLm  # noqa: PLC0415 - torch, only where it is used

    return MiniLm()


class Hashing:
    """Hashed words and character 3- to 5-grams of words, square-root damped counts."""

    name: EncoderName = "hashing"
    version = "1"
    dimension = 1024

    def encode(self, texts: Sequence[str], report: Report | None = None) -> Vectors:
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
        return unit(np.sqrt(out))


class CachingEncoder:
    """Encodes each distinct text once; with a journal folder, once over all attempts of a stage."""

    def __init__(self, encoder: Encoder, *, journal: Path | None = None) -> None:
        self.name = encoder.name
        self.version = encoder.version
        self.dimension = encoder.dimension
        self._encoder = encoder
        self._journal = journal
        self._known: OrderedDict[str, Vectors] = OrderedDict()
        for part in sorted(journal.glob("*.npz")) if journal and journal.is_dir() else ():
            with np.load(part, allow_pickle=False) as stored:
                if stored["vectors"].shape[1] == self.dimension:
                    self.learn(stored["texts"].tolist(), stored["vectors"])

    def learn(self, texts: Sequence[str], vectors: Vectors) -> None:
        """Take vectors of this very encoder, [len(texts), dimension], for known."""
        self._known |= zip(texts, vectors, strict=True)

    def encode(self, texts: Sequence[str], report: Report | None = None) -> Vectors:
        """See Encoder."""
        new = [text for text in dict.fromkeys(texts) if text not in self._known]
        fresh: dict[str, Vectors] = {}
        step = _JOURNAL_TEXTS if self._journal else max(1, len(new))
        for start in range(0, len(new), step):
            part = new[start : start + step]
            vectors = self._encoder.encode(part, _shifted(report, start, len(new)))
            fresh |= zip(part, vectors, strict=True)
            if self._journal:
                _write(self._journal, part, vectors)
        out = np.zeros((len(texts), self.dimension), dtype=np.float32)
        for row, text in enumerate(texts):
            out[row] = fresh[text] if text in fresh else self._known[text]
        self._known |= fresh
        while len(self._known) > _CACHED_TEXTS:
            self._known.popitem(last=False)
        return out


def _shifted(report: Report | None, start: int, total: int) -> Report | None:
    return (lambda done, _: report(start + done, total)) if report else None


def _slot(gram: str, slots: int) -> int:
    return zlib.crc32(gram.encode("utf-8", errors="surrogatepass")) % slots


def _write(folder: Path, texts: list[str], vectors: Vectors) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    whole = folder / f"{len(list(folder.glob('*.npz'))):06d}.npz"
    partial = whole.with_suffix(".part")
    with partial.open("wb") as file:
        np.savez(file, texts=np.array(texts), vectors=vectors)
    partial.replace(whole)
