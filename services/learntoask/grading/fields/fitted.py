"""What a fit of the grader decided: models, examples and bounds, without the pack and the encoder they work with."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from learntoask.grading.examples import Example
from learntoask.grading.fields.candidates import ANYTHING
from learntoask.grading.fields.classifiers import Classifier, Linear
from learntoask.grading.fields.features import question_features
from learntoask.grading.fields.lexical import LexicalModel

ASKED_FROM = 0.5  # probability from which a field counts as asked for


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """Where a finding becomes uncertain. Set so that few expert questions are; see fitting.

    A question asks for something of its task from `idle_to` on and for nothing below `idle_from`; between, and where
    its likeliest field is within `unsure` of ASKED_FROM, there is no grade.

    A text is unlike every expert question where it is less similar than `far_below` to the nearest one, or where more
    than `new_above` of its pairs of neighbouring words are in none. The policy babbles there, so the grade is 0.
    """

    idle_from: float
    idle_to: float
    unsure: float
    far_below: float
    new_above: float


@dataclass(frozen=True, kw_only=True)
class Idle:
    """Tells questions that ask for something of their task from those that do not."""

    wording: LexicalModel
    classifier: Linear  # of question_features

    def asks(self, text: str, pairs: NDArray[np.float64], likely: NDArray[np.float64], *, fold: int) -> float:
        wording = float(self.wording.logits(text, [ANYTHING], fold=fold)[0])
        return float(
            self.classifier.probabilities(question_features(pairs, likely, wording)[None], fold=fold)[0]
        )


@dataclass(frozen=True, kw_only=True)
class Fitted:
    """Everything a fit decided; with the pack and the encoder it makes a grader."""

    examples: tuple[Example, ...]
    lexical: LexicalModel
    classifier: Classifier  # of (question, field) pairs
    idle: Idle | None  # None: no question was known that asks for nothing
    pattern_precision: float  # how often a field is asked for where one of its patterns matches
    bounds: Bounds
