"""The votes of the most similar expert questions of other sessions on what a question asks for."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from learntoask.core.text.sentences import question_parts
from learntoask.grading.encoders.encoder import Vectors
from learntoask.grading.examples import Example
from learntoask.grading.fields.candidates import PackFields

_SHARPNESS = 20.0  # a neighbour that is .05 less similar than the nearest has e^-1 of its weight
_OTHER_GROUP = 0.5  # weight of a question of another group of tasks


class Neighbours:
    """A vote among logged questions, each weighted by its similarity to the question that is graded."""

    def __init__(self, pack_fields: PackFields, examples: Sequence[Example], vectors: Vectors) -> None:
        """`vectors` [len(examples), dimension] are the encoded texts of the examples."""
        self._pack_fields = pack_fields
        self._vectors = vectors
        self._sessions: dict[str, NDArray[np.int64]] = {}
        by_session: dict[str, list[int]] = {}
        for index, example in enumerate(examples):
            by_session.setdefault(example.session_id, []).append(index)
        self._sessions = {name: np.array(rows) for name, rows in by_session.items()}
        self._groups = np.array([pack_fields.groups[example.task] for example in examples])
        self._single = np.array([len(question_parts(example.text)) == 1 for example in examples], dtype=bool)
        most = max((len(example.asked) for example in examples), default=0)
        self._asked = np.full((len(examples), most), -1, dtype=np.int64)
        for index, example in enumerate(examples):
            places = sorted(pack_fields.place(example.task, field) for field in example.asked)
            self._asked[index, : len(places)] = places
        self._meaning = lru_cache(maxsize=256)(self._meanings)

    def knows(self, session_id: str) -> bool:
        """Whether any example is of this session."""
        return session_id in self._sessions

    def votes(
        self, units: Vectors, task: str, *, without: str, single: bool
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the weighted share of neighbours that ask for each field of `task`, [u, fields].

        The first result counts the questions of all groups of tasks, the second only those of the group of `task`.
        `units` [u, dimension] are vectors of texts. Questions of session `without` do not vote. With `single`, nor do
        questions of several clauses, because it is not known which of their clauses asks for what.
        """
        asks, exactly, own = self._meaning(task)
        excluded = np.zeros(len(self._vectors), dtype=bool)
        excluded[self._sessions.get(without, [])] = True
        if single and np.any(self._single & ~excluded):
            excluded |= ~self._single
        similarity = units @ self._vectors.T
        weight = np.where(own, 1.0, _OTHER_GROUP)
        return (
            _share(similarity, np.where(excluded, 0.0, weight), asks),
            _share(similarity, np.where(excluded, 0.0, own), exactly),
        )

    def nearest(self, vector: Vectors, task: str | None = None, *, without: str) -> float:
        """Return the similarity of a text [dimension] to the nearest question, of the group of `task` or of any group.

        Questions of session `without` are left out; -1 if no question is left.
        """
        included = np.ones(len(self._vectors), dtype=bool)
        if task is not None:
            included = self._groups == self._pack_fields.groups[task]
        included[self._sessions.get(without, [])] = False
        return float((self._vectors @ vector)[included].max(initial=-1.0))

    def _meanings(self, task: str) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]:
        """Return what the n examples ask for in terms of the fields of `task`.

        The results are the squared similarity of each field to the fields an example asks for [n, fields], whether the
        example asks for exactly that field [n, fields], and whether it belongs to the same group of tasks [n].
        """
        like = self._pack_fields.likeness(task)
        padded = np.concatenate([like, np.zeros((len(like), 1))], axis=1)  # index -1: no field
        asks = padded[:, self._asked].max(axis=2, initial=0.0).T
        own: NDArray[np.bool_] = self._groups == self._pack_fields.groups[task]
        return asks**2, (asks >= 1.0).astype(np.float64), own


def _share(
    similarity: NDArray[np.float32], weight: NDArray[np.float64], asks: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the mean of `asks` [n, fields], [u, fields], by `weight` [n] and softmax of `similarity` [u, n]."""
    included = np.flatnonzero(weight)
    if not included.size:
        return np.zeros((len(similarity), asks.shape[1]))
    near = similarity[:, included].astype(np.float64)
    weights = np.exp(_SHARPNESS * (near - near.max(axis=1, keepdims=True))) * weight[included]
    shares: NDArray[np.float64] = weights @ asks[included] / weights.sum(axis=1, keepdims=True)
    return shares
