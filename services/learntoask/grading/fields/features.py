"""The features of a (question, field) pair, on which the classifier decides."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from learntoask.core.text.sentences import question_parts
from learntoask.core.text.words import stems
from learntoask.grading.encoders.encoder import Encoder, Vectors
from learntoask.grading.fields.candidates import PackFields
from learntoask.grading.fields.lexical import LexicalModel
from learntoask.grading.fields.neighbours import Neighbours

_OF_UNITS = ("vote", "own_vote", "title", "description")
NAMES: tuple[str, ...] = (
    *(f"whole_{name}" for name in (*_OF_UNITS, "title_margin", "description_margin")),
    *(f"clause_{name}" for name in (*_OF_UNITS, "title_margin", "description_margin")),
    "title_words",  # share of the title's words that the question contains
    "values",  # number of the field's possible values in the question, at most 3
    "lexical",
    "lexical_margin",
)
_MOST_VALUES = 3
_TINY = 1e-9


class PairFeatures:
    """Computes the features of a question with each field of its task."""

    def __init__(self, pack_fields: PackFields, encoder: Encoder, neighbours: Neighbours) -> None:
        self._pack_fields = pack_fields
        self._encoder = encoder
        self._neighbours = neighbours

    def units(self, texts: Iterable[str]) -> dict[str, Vectors]:
        """Return the vectors of each text and of its clauses if it has several, [1 + clauses, dimension]."""
        parts = {text: units_of(text) for text in texts}
        flat = [unit for units in parts.values() for unit in units]
        vectors = self._encoder.encode(flat)
        found: dict[str, Vectors] = {}
        start = 0
        for text, units in parts.items():
            found[text] = vectors[start : start + len(units)]
            start += len(units)
        return found

    def _without_lexical(
        self, text: str, units: Vectors, *, task: str, session_id: str
    ) -> NDArray[np.float64]:
        whole = self._of_units(units[:1], task, session_id, single=False)
        parts = self._of_units(units[1:] if len(units) > 1 else units, task, session_id, single=True)
        said = set(stems(text))
        folded = text.casefold()
        words = [
            (
                len(candidate.title_stems & said) / max(1, len(candidate.title_stems)),
                float(min(_MOST_VALUES, sum(value in folded for value in candidate.values))),
            )
            for candidate in self._pack_fields.candidates[task]
        ]
        return np.concatenate([whole.max(axis=0), parts.max(axis=0), np.array(words)], axis=1)

    def pairs(
        self, text: str, units: Vectors, *, task: str, session_id: str, lexical: LexicalModel, fold: int
    ) -> NDArray[np.float64]:
        """Return the features, [fields of the task, len(NAMES)]. Neighbours of the session `session_id` are left out.

        `units` are the text's vectors from `units`; `lexical` is the model and `fold` its fold.
        """
        plain = self._without_lexical(text, units, task=task, session_id=session_id)
        logits = lexical.logits(text, self._pack_fields.candidates[task], fold=fold)[:, None]
        return np.concatenate([plain, logits, margins(logits.T).T], axis=1)

    def _of_units(self, units: Vectors, task: str, session_id: str, *, single: bool) -> NDArray[np.float64]:
        """Return the features of each vector of `units` [u, dimension], [u, fields, 6]."""
        rows = self._pack_fields.slices[task]
        title = (units @ self._pack_fields.titles[rows].T).astype(np.float64)
        description = (units @ self._pack_fields.descriptions[rows].T).astype(np.float64)
        vote, own = self._neighbours.votes(units, task, without=session_id, single=single)
        return np.stack([vote, own, title, description, margins(title), margins(description)], axis=2)


def question_features(
    pairs: NDArray[np.float64], probabilities: NDArray[np.float64], wording: float
) -> NDArray[np.float64]:
    """Return the features that tell whether a question asks for any field of its task, [len(NAMES) + 3].

    `pairs` [fields, len(NAMES)] are the question's features with the fields of its task, and `probabilities` [fields]
    that it asks for them. `wording` is the log-odds of the lexical model that it asks for anything.
    """
    odds = np.sort(np.log(probabilities + _TINY) - np.log(1 - probabilities + _TINY))[::-1]
    second = odds[1] if len(odds) > 1 else odds[0]
    return np.concatenate([pairs.max(axis=0), [odds[0], second, wording]])


def margins(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return by how much each column exceeds the best other one, [rows, columns]; a single column exceeds 0."""
    if scores.shape[1] == 1:
        return scores.copy()
    order = np.sort(scores, axis=1)
    best, second = order[:, -1:], order[:, -2:-1]
    return scores - np.where(scores == best, second, best)


def units_of(text: str) -> list[str]:
    """Return the texts to encode for a text: itself, and its clauses if it has several."""
    parts = question_parts(text)
    return [text, *parts] if len(parts) > 1 else [text]
