"""The result of a fit: models, examples and bounds. With the pack and the encoder it makes a FieldGrader."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from learntoask.grading.examples import Example
from learntoask.grading.fields.candidates import ANYTHING
from learntoask.grading.fields.classifiers import Classifier, LinearClassifier
from learntoask.grading.fields.features import question_features
from learntoask.grading.fields.lexical import LexicalModel

ASKED_FROM = 0.5  # probability from which a field counts as asked for


@dataclass(frozen=True, kw_only=True)
class GradeBounds:
    """The bounds between a grade and a missing grade. `fitting` sets them so that few expert questions miss a grade.

    A question asks for a field of its task if the probability `asks` is at least `idle_to`, and for nothing if it is
    below `idle_from`. The grade is missing in between, and if the probability of the likeliest field is within `unsure`
    of `asked_from`, from which a field counts as asked for.

    A text is unlike every expert question if its similarity to the nearest one is below `far_below`, or if more than
    `new_above` of its pairs of neighbouring words are in none of them. The policy babbles there, so the grade is 0.
    """

    idle_from: float
    idle_to: float
    unsure: float
    far_below: float
    new_above: float
    asked_from: float = ASKED_FROM


@dataclass(frozen=True, kw_only=True)
class IdleClassifier:
    """Decides whether a question asks for any field of its task."""

    wording: LexicalModel
    classifier: LinearClassifier  # of question_features

    def asks(
        self, text: str, pairs: NDArray[np.float64], probabilities: NDArray[np.float64], *, fold: int
    ) -> float:
        """Return the probability that it does. See question_features for `pairs` and `probabilities`."""
        wording = float(self.wording.logits(text, [ANYTHING], fold=fold)[0])
        return float(
            self.classifier.probabilities(question_features(pairs, probabilities, wording)[None], fold=fold)[
                0
            ]
        )


@dataclass(frozen=True, kw_only=True)
class FittedModels:
    """The result of a fit."""

    examples: tuple[Example, ...]
    lexical: LexicalModel
    classifier: Classifier  # of (question, field) pairs
    idle: IdleClassifier | None  # None if the fit had no question that asks for nothing
    pattern_precision: float  # share of the matches of a field's patterns in which the field is asked for
    bounds: GradeBounds
