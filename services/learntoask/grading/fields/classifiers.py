"""Two kinds of classifier as plain arrays, so that nothing is pickled and reading one needs only numpy.

The rewarding grader is linear and the reporting grader is made of trees, because what deceives one of them need not
deceive the other.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

Kind = Literal["linear", "trees"]
Arrays = dict[str, NDArray[np.generic]]


class Classifier(Protocol):
    """A binary classifier with one model per fold, fitted on the sessions of the other folds."""

    @property
    def kind(self) -> Kind: ...

    def probabilities(self, features: NDArray[np.float64], *, fold: int) -> NDArray[np.float64]:
        """Return the probability of each row of `features` [rows, features] by the model of `fold`, [rows]."""

    def arrays(self) -> Arrays:
        """Return the parameters, from which `classifier_of` makes the classifier again."""


@dataclass(frozen=True, kw_only=True)
class LinearClassifier:
    """Logistic regression on standardised features."""

    weights: NDArray[np.float64]  # [folds, features], for features that are not standardised
    intercepts: NDArray[np.float64]  # [folds]
    kind: Kind = "linear"

    def probabilities(self, features: NDArray[np.float64], *, fold: int) -> NDArray[np.float64]:
        """See Classifier."""
        return sigmoid(features @ self.weights[fold] + self.intercepts[fold])

    def arrays(self) -> Arrays:
        return {"weights": self.weights, "intercepts": self.intercepts}


@dataclass(frozen=True, kw_only=True)
class TreeClassifier:
    """Gradient-boosted trees. Node n of tree t goes left if features[feature[t, n]] <= threshold[t, n]."""

    feature: NDArray[np.int64]  # [folds, trees, nodes]; -1 at a leaf
    threshold: NDArray[np.float64]
    left: NDArray[np.int64]
    right: NDArray[np.int64]
    value: NDArray[np.float64]  # log-odds, multiplied by the learning rate
    prior: NDArray[np.float64]  # [folds]
    kind: Kind = "trees"

    def probabilities(self, features: NDArray[np.float64], *, fold: int) -> NDArray[np.float64]:
        """See Classifier."""
        feature, threshold = self.feature[fold], self.threshold[fold]
        trees = np.arange(len(feature))[None]
        rows = np.arange(len(features))[:, None]
        node = np.zeros((len(features), len(feature)), dtype=np.int64)
        single = features.astype(np.float32)  # the trees were grown on float32 features
        while True:
            asked = feature[trees, node]
            inner = asked >= 0
            if not inner.any():
                break
            goes_left = single[rows, np.where(inner, asked, 0)] <= threshold[trees, node]
            below = np.where(goes_left, self.left[fold][trees, node], self.right[fold][trees, node])
            node = np.where(inner, below, node)
        return sigmoid(self.prior[fold] + self.value[fold][trees, node].sum(axis=1))

    def arrays(self) -> Arrays:
        return {
            name: getattr(self, name) for name in ("feature", "threshold", "left", "right", "value", "prior")
        }


def classifier_of(kind: Kind, arrays: Arrays) -> Classifier:
    """Make the classifier with these parameters."""
    built: Classifier = {"linear": LinearClassifier, "trees": TreeClassifier}[kind](**arrays)
    return built


def sigmoid(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    odds: NDArray[np.float64] = 1.0 / (1.0 + np.exp(-np.clip(logits, -40.0, 40.0)))
    return odds
