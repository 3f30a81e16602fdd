"""Fit a grader on labelled expert questions.

Sessions fall into folds. Lexical weights and classifier of a fold are fitted on the other folds, and neighbours come
from other sessions, so that whatever is graded, its own session never taught the grader: the figures measured over
all the sessions are held out ones, and training may reward sessions the grader was fitted on.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from sklearn.ensemble import GradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from learntoask.grading.classifiers import Classifier, Kind, Linear, Trees
from learntoask.grading.examples import Example
from learntoask.grading.features import PairFeatures
from learntoask.grading.lexical import SLOTS, LexicalModel, crosses
from learntoask.grading.schema import Schema

FOLDS = 5
_LEXICAL_STRENGTH = 0.3  # inverse of the L2 penalty
_LINEAR_STRENGTH = 1.0
_CERTAIN = 4.0  # log-odds where the examples of a fold are all alike
_TREES = 120
_Binary = NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class Pairs:
    """(question, field) pairs, one row each."""

    features: NDArray[np.float64]  # [rows, features]
    asks: _Binary  # [rows]
    folds: NDArray[np.int64]  # [rows]
    questions: NDArray[np.int64]  # [rows], index of the example


def fold_of(session_id: str) -> int:
    """Any session has a fold, also one that was never seen."""
    return zlib.crc32(session_id.encode("utf-8", errors="surrogatepass")) % FOLDS


def fit_models(
    examples: Sequence[Example],
    *,
    schema: Schema,
    features: PairFeatures,
    kind: Kind,
    report: Callable[[float, float], None],
) -> tuple[LexicalModel, Classifier, Pairs]:
    """The two models, and the pairs they were fitted on (with lexical columns of the own fold)."""
    asks = np.concatenate(
        [
            [candidate.name in example.asked for candidate in schema.candidates[example.task]]
            for example in examples
        ]
    )
    counts = [len(schema.candidates[example.task]) for example in examples]
    questions = np.repeat(np.arange(len(examples)), counts)
    folds = np.array([fold_of(example.session_id) for example in examples])[questions]
    lexical = fit_lexical(_crossed(examples, schema), asks, folds)
    units = features.units(dict.fromkeys(example.text for example in examples))
    rows = []
    for number, example in enumerate(examples):
        plain = features.without_lexical(
            example.text, units[example.text], task=example.task, session_id=example.session_id
        )
        fold = fold_of(example.session_id)
        rows.append(features.with_lexical(plain, example.text, task=example.task, lexical=lexical, fold=fold))
        report(number + 1, len(examples))
    pairs = Pairs(features=np.concatenate(rows), asks=asks, folds=folds, questions=questions)
    fit = {"linear": fit_linear, "trees": fit_trees}[kind]
    return lexical, fit(pairs), pairs


def fit_lexical(crossed: csr_matrix, asks: _Binary, folds: NDArray[np.int64]) -> LexicalModel:
    weights = np.zeros((FOLDS, SLOTS), dtype=np.float32)
    intercepts = np.zeros(FOLDS)
    used = np.unique(crossed.indices)
    compact = crossed[:, used]
    for fold in range(FOLDS):
        rows = folds != fold
        constant = _constant(asks[rows])
        if constant is not None:
            intercepts[fold] = constant
            continue
        model = LogisticRegression(C=_LEXICAL_STRENGTH, solver="liblinear", max_iter=300)
        model.fit(compact[rows], asks[rows])
        weights[fold, used], intercepts[fold] = model.coef_[0], model.intercept_[0]
    return LexicalModel(weights=weights, intercepts=intercepts)


def fit_linear(pairs: Pairs) -> Linear:
    weights = np.zeros((FOLDS, pairs.features.shape[1]))
    intercepts = np.zeros(FOLDS)
    for fold in range(FOLDS):
        rows = pairs.folds != fold
        constant = _constant(pairs.asks[rows])
        if constant is not None:
            intercepts[fold] = constant
            continue
        scaler = StandardScaler().fit(pairs.features[rows])
        model = LogisticRegression(C=_LINEAR_STRENGTH, max_iter=2000)
        model.fit(scaler.transform(pairs.features[rows]), pairs.asks[rows])
        weights[fold] = model.coef_[0] / scaler.scale_
        intercepts[fold] = model.intercept_[0] - weights[fold] @ scaler.mean_
    return Linear(weights=weights, intercepts=intercepts)


def fit_trees(pairs: Pairs) -> Trees:
    grown = []
    prior = np.zeros(FOLDS)
    for fold in range(FOLDS):
        rows = pairs.folds != fold
        constant = _constant(pairs.asks[rows])
        if constant is not None:
            prior[fold] = constant
            grown.append([])
            continue
        model = GradientBoostingClassifier(
            n_estimators=_TREES,
            learning_rate=0.08,
            max_depth=3,
            min_samples_leaf=10,
            subsample=0.7,
            random_state=0,
        )
        model.fit(pairs.features[rows], pairs.asks[rows])
        share = pairs.asks[rows].mean()
        prior[fold] = np.log(share / (1 - share))
        grown.append([(tree.tree_, model.learning_rate) for tree in model.estimators_[:, 0]])
    nodes = max((tree.node_count for trees in grown for tree, _ in trees), default=1)
    shape = (FOLDS, max(1, *map(len, grown)), nodes)
    feature = np.full(shape, -1, dtype=np.int64)
    threshold, value = np.zeros(shape), np.zeros(shape)
    left, right = np.zeros(shape, dtype=np.int64), np.zeros(shape, dtype=np.int64)
    for fold, trees in enumerate(grown):
        for number, (tree, rate) in enumerate(trees):
            here = (fold, number, slice(tree.node_count))
            feature[here] = np.where(tree.children_left >= 0, tree.feature, -1)
            threshold[here] = tree.threshold
            left[here], right[here] = tree.children_left, tree.children_right
            value[here] = rate * tree.value[:, 0, 0]
    return Trees(feature=feature, threshold=threshold, left=left, right=right, value=value, prior=prior)


def _crossed(examples: Sequence[Example], schema: Schema) -> csr_matrix:
    """[pairs, SLOTS]"""
    slots, values, ends = [], [], [0]
    for example in examples:
        for where, what in crosses(example.text, schema.candidates[example.task]):
            slots.append(where)
            values.append(what)
            ends.append(ends[-1] + len(where))
    matrix = csr_matrix(
        (np.concatenate(values), np.concatenate(slots), np.array(ends)), shape=(len(ends) - 1, SLOTS)
    )
    matrix.sum_duplicates()
    return matrix


def _constant(asks: _Binary) -> float | None:
    """Log-odds to answer with where there is nothing to tell apart."""
    if not asks.size:
        return 0.0
    if asks.all() or not asks.any():
        return _CERTAIN if asks.all() else -_CERTAIN
    return None
