"""Choose an encoder for the texts, load an encoder by name, and encode each distinct text only once."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from learntoask.core.stages.contract import ProgressCallback
from learntoask.grading.encoders.encoder import Encoder, EncoderName, Vectors
from learntoask.grading.encoders.hashing import HashingEncoder
from learntoask.grading.encoders.text_arrays import text_arrays, texts_of

_CACHED_TEXTS = 50_000  # 77 MB of MiniLM vectors
_JOURNAL_TEXTS = 512  # texts between writes to the journal
# English has 1.0, other languages in Latin script .83 to .96, all other scripts at most .05.
_LEAST_KNOWN = 0.7


def load_encoder(name: EncoderName) -> Encoder:
    """Load the encoder `name`. Raises StageError when its package is not installed."""
    if name == "hashing":
        return HashingEncoder()
    from learntoask.grading.encoders.minilm import MiniLmEncoder  # noqa: PLC0415 - torch, only where it is used

    return MiniLmEncoder()


@dataclass(frozen=True, kw_only=True)
class EncoderChoice:
    """The encoder to use, and why it is not the one that was asked for; the reason is empty if it is."""

    name: EncoderName
    reason: str = ""


def choose_encoder(asked_for: EncoderName, texts: Sequence[str]) -> EncoderChoice:
    """Return `hashing` instead of `minilm` if that model, which learned English, cannot read most of the texts.

    Raises StageError when the package of the encoder is not installed.
    """
    if asked_for == "hashing":
        return EncoderChoice(name="hashing")
    from learntoask.grading.encoders.minilm import known_share  # noqa: PLC0415 - torch, only where it is used

    known = known_share(texts)
    if known >= _LEAST_KNOWN:
        return EncoderChoice(name="minilm")
    return EncoderChoice(
        name="hashing",
        reason=f"minilm learned English and knows {known:.0%} of the letters of these questions as parts of words, so "
        "the graders compare character n-grams (hashing) instead",
    )


class CachingEncoder:
    """An Encoder that encodes each distinct text once; with a journal folder, once over all attempts of a stage."""

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
                    self.add(texts_of(stored), stored["vectors"])

    def add(self, texts: Sequence[str], vectors: Vectors) -> None:
        """Add known vectors of this encoder, [len(texts), dimension], to the cache."""
        self._known |= zip(texts, vectors, strict=True)

    def encode(self, texts: Sequence[str], report: ProgressCallback | None = None) -> Vectors:
        """See Encoder."""
        new = [text for text in dict.fromkeys(texts) if text not in self._known]
        fresh: dict[str, Vectors] = {}
        step = _JOURNAL_TEXTS if self._journal else max(1, len(new))
        for start in range(0, len(new), step):
            part = new[start : start + step]
            vectors = self._encoder.encode(part, _with_offset(report, start, len(new)))
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


def _with_offset(report: ProgressCallback | None, start: int, total: int) -> ProgressCallback | None:
    return (lambda done, _: report(start + done, total)) if report else None


def _write(folder: Path, texts: list[str], vectors: Vectors) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    whole = folder / f"{len(list(folder.glob('*.npz'))):06d}.npz"
    partial = whole.with_suffix(".part")
    with partial.open("wb") as file:
        np.savez(file, **text_arrays(texts), vectors=vectors)
    partial.replace(whole)
