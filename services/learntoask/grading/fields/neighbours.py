"""What the nearest expert questions of other sessions asked for."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from learntoask.grading.encoders.encoder import Vectors
from learntoask.grading.examples import Example
from learntoask.grading.fields.candidates import Schema
from learntoask.grading.text import clauses

_SHARPNESS = 20.0  # a neighbour .05 less similar than the nearest has e^-1 of its say
_OTHER_GROUP = 0.5  # say of a question of another group of tasks


class Neighbours:
    """Votes among logged questions, each weighted by its similarity to the question at hand."""

    def __init__(self, schema: Schema, examples: Sequence[Example], vectors: Vectors) -> None:
        """`vectors`: [len(examples), dimension], the encoded texts."""
        self._schema = schema
        self._vectors = vectors
        self._sessions: dict[str, NDArray[np.int64]] = {}
        by_session: dict[str, list[int]] = {}
        for index, example in enumerate(examples):
            by_session.setdefault(example.session_id, []).append(index)
        self._sessions = {name: np.array(rows) for name, rows in by_session.items()}
        self._groups = np.array([schema.groups[example.task] for example in examples])
        self._single = np.array([len(clauses(example.text)) == 1 for example in examples], dtype=bool)
        most = max((len(example.asked) for example in examples), default=0)
        self._asked = np.full((len(examples), most), -1, dtype=np.int64)
        for index, example in enumerate(examples):
            places = sorted(schema.place(example.task, field) for field in example.asked)
            self._asked[index, : len(places)] = places
        self._meaning = lru_cache(maxsize=256)(self._meanings)

    def knows(self, session_id: str) -> bool:
        return session_id in self._sessions

    def votes(
        self, units: Vectors, task: str, *, without: str, single: bool
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Share of the neighbours' say that asks for each field of `task`: all groups, and its own group only.

        `units` [u, dimension] are texts; both results [u, fields]. Neighbours of session `without` have no say; nor,
        with `single`, have questions of several clauses, where it is not known which clause asked for what.
        """
        asks, exactly, own = self._meaning(task)
        silent = np.zeros(len(self._vectors), dtype=bool)
        silent[self._sessions.get(without, [])] = True
        if single and np.any(self._single & ~silent):
            silent |= ~self._single
        similarity = units @ self._vectors.T
        say = np.where(own, 1.0, _OTHER_GROUP)
        return (
            _share(similarity, np.where(silent, 0.0, say), asks),
            _share(similarity, np.where(silent, 0.0, own), exactly),
        )

    def nearest(self, vector: Vectors, task: str | None = None, *, without: str) -> float:
        """Similarity of a text [dimension] to the nearest question of the group of `task`, or of any group.

        Questions of session `without` are left out; -1 where no question is left.
        """
        heard = np.ones(len(self._vectors), dtype=bool)
        if task is not None:
            heard = self._groups == self._schema.groups[task]
        heard[self._sessions.get(without, [])] = False
        return float((self._vectors[heard] @ vector).max(initial=-1.0))

    def _meanings(self, task: str) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]:
        """For each neighbour how far it asks for each field of `task` [n, fields], the same where the field is the
        very same, and whether it belongs to the same group [n]."""
        like = self._schema.likeness(task)
        padded = np.concatenate([like, np.zeros((len(like), 1))], axis=1)  # index -1: no field
        asks = padded[:, self._asked].max(axis=2, initial=0.0).T
        own: NDArray[np.bool_] = self._groups == self._schema.groups[task]
        return asks**2, (asks >= 1.0).astype(np.float64), own


def _share(
    similarity: NDArray[np.float32], say: NDArray[np.float64], asks: NDArray[np.float64]
) -> NDArray[np.float64]:
    heard = np.flatnonzero(say)
    if not heard.size:
        return np.zeros((len(similarity), asks.shape[1]))
    near = similarity[:, heard].astype(np.float64)
    weights = np.exp(_SHARPNESS * (near - near.max(axis=1, keepdims=True))) * say[heard]
    shares: NDArray[np.float64] = weights @ asks[heard] / weights.sum(axis=1, keepdims=True)
    return shares
