"""Fit the three kinds of model with scikit-learn, one model per fold on the rows of the others, as plain arrays."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from sklearn.ensemble import GradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from learntoask.grading.examples import FOLDS
from learntoask.grading.fields.classifiers import LinearClassifier, TreeClassifier
from learntoask.grading.fields.lexical import SLOTS, LexicalModel

_LEXICAL_STRENGTH = 0.3  # inverse of the L2 penalty
_LINEAR_STRENGTH = 1.0
_CERTAIN = 4.0  # log-odds if all rows of the other folds have the same truth
_TREES = 120
_RATE = 0.08
_Binary = NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class Rows:
    """The rows that a classifier is fitted on."""

    features: NDArray[np.float64]  # [rows, features]
    truth: _Binary  # [rows]
    folds: NDArray[np.int64]  # [rows]

    @classmethod
    def of(
        cls, features: Sequence[NDArray[np.float64]], truth: Sequence[_Binary], folds: Sequence[int]
    ) -> Rows:
        """Concatenate blocks of rows, one per question."""
        return cls(
            features=np.concatenate(features),
            truth=np.concatenate(truth),
            folds=np.repeat(folds, [len(block) for block in truth]),
        )


def fit_lexical(
    crossed: Iterable[tuple[NDArray[np.int64], NDArray[np.float64]]], truth: _Binary, folds: NDArray[np.int64]
) -> LexicalModel:
    """Fit a sparse logistic regression. `crossed` holds the slots and the values of each row."""
    matrix = _sparse(crossed)
    weights = np.zeros((FOLDS, SLOTS), dtype=np.float32)
    intercepts = np.zeros(FOLDS)
    used = np.unique(matrix.indices)
    compact = matrix[:, used]
    for fold in range(FOLDS):
        rows = folds != fold
        constant = _constant(truth[rows])
        if constant is not None:
            intercepts[fold] = constant
            continue
        model = LogisticRegression(C=_LEXICAL_STRENGTH, solver="liblinear", max_iter=300)
        model.fit(compact[rows], truth[rows])
        weights[fold, used], intercepts[fold] = model.coef_[0], model.intercept_[0]
    return LexicalModel(weights=weights, intercepts=intercepts)


def fit_linear(rows: Rows) -> LinearClassifier:
    """Fit a logistic regression on standardised features."""
    weights = np.zeros((FOLDS, rows.features.shape[1]))
    intercepts = np.zeros(FOLDS)
    for fold in range(FOLDS):
        others = rows.folds != fold
        constant = _constant(rows.truth[others])
        if constant is not None:
            intercepts[fold] = constant
            continue
        scaler = StandardScaler().fit(rows.features[others])
        model = LogisticRegression(C=_LINEAR_STRENGTH, max_iter=2000)
        model.fit(scaler.transform(rows.features[others]), rows.truth[others])
        weights[fold] = model.coef_[0] / scaler.scale_
        intercepts[fold] = model.intercept_[0] - weights[fold] @ scaler.mean_
    return LinearClassifier(weights=weights, intercepts=intercepts)


def fit_trees(rows: Rows) -> TreeClassifier:
    """Fit gradient-boosted trees."""
    grown: list[list[Any]] = []
    prior = np.zeros(FOLDS)
    for fold in range(FOLDS):
        others = rows.folds != fold
        constant = _constant(rows.truth[others])
        if constant is not None:
            prior[fold] = constant
            grown.append([])
            continue
        model = GradientBoostingClassifier(
            n_estimators=_TREES,
            learning_rate=_RATE,
            max_depth=3,
            min_samples_leaf=10,
            subsample=0.7,
            random_state=0,
        )
        model.fit(rows.features[others], rows.truth[others])
        share = rows.truth[others].mean()
        prior[fold] = np.log(share / (1 - share))  # the model starts from the log-odds of the share
        grown.append([tree.tree_ for tree in model.estimators_[:, 0]])
    return _as_arrays(grown, prior)


def _as_arrays(grown: Sequence[Sequence[Any]], prior: NDArray[np.float64]) -> TreeClassifier:
    nodes = max((tree.node_count for trees in grown for tree in trees), default=1)
    shape = (FOLDS, max(1, *map(len, grown)), nodes)
    feature = np.full(shape, -1, dtype=np.int64)
    threshold, value = np.zeros(shape), np.zeros(shape)
    left, right = np.zeros(shape, dtype=np.int64), np.zeros(shape, dtype=np.int64)
    for fold, trees in enumerate(grown):
        for number, tree in enumerate(trees):
            here = (fold, number, slice(tree.node_count))
            feature[here] = np.where(tree.children_left >= 0, tree.feature, -1)
            threshold[here] = tree.threshold
            left[here], right[here] = tree.children_left, tree.children_right
            value[here] = _RATE * tree.value[:, 0, 0]
    return TreeClassifier(
        feature=feature, threshold=threshold, left=left, right=right, value=value, prior=prior
    )


def _sparse(crossed: Iterable[tuple[NDArray[np.int64], NDArray[np.float64]]]) -> csr_matrix:
    """Make the matrix [rows, SLOTS] of slots and values."""
    slots, values, ends = [], [], [0]
    for where, what in crossed:
        slots.append(where)
        values.append(what)
        ends.append(ends[-1] + len(where))
    matrix = csr_matrix(
        (np.concatenate(values), np.concatenate(slots), np.array(ends)), shape=(len(ends) - 1, SLOTS)
    )
    matrix.sum_duplicates()
    return matrix


def _constant(truth: _Binary) -> float | None:
    """Return constant log-odds if all rows have the same truth, else None."""
    if not truth.size:
        return 0.0
    if truth.all() or not truth.any():
        return _CERTAIN if truth.all() else -_CERTAIN
    return None
