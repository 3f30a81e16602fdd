"""FieldGrader: which fields of its task does a question ask for, by words, meaning and what experts asked before."""

from __future__ import annotations

import hashlib
import json
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from learntoask.core.answer import decision_of
from learntoask.core.digest import digest_of
from learntoask.core.errors import InputError
from learntoask.core.pack import Pack
from learntoask.grading.classifiers import Classifier, Kind, classifier_of
from learntoask.grading.encoders import CachingEncoder, Encoder, EncoderName, Vectors, load_encoder
from learntoask.grading.examples import Example, one_line
from learntoask.grading.features import PairFeatures
from learntoask.grading.fluency import FluencyGuard
from learntoask.grading.folds import fold_of
from learntoask.grading.grades import REFUSED, Grade, GradeCase, Missing, question_grade, stop_grade
from learntoask.grading.lexical import SLOTS, LexicalModel
from learntoask.grading.neighbours import Neighbours
from learntoask.grading.schema import Schema

_VERSION = 1
_REMEMBERED = 20_000  # graded questions kept, since a policy that converges repeats itself
ASKED_FROM = 0.5


@dataclass(frozen=True, kw_only=True)
class Fitted:
    """Everything a fit decided; with the pack it makes a grader.

    `unsure` is the half width of the band around ASKED_FROM: a question whose likeliest field falls in it is not
    graded. `pattern_precision` is how often a field is asked where one of its patterns matches.
    """

    kind: Kind
    encoder: EncoderName
    encoder_version: str
    pack: str  # digest of the parts of the pack a grader depends on
    unsure: float
    pattern_precision: float
    examples: tuple[Example, ...]
    vectors: Vectors  # [examples, dimension]
    lexical: LexicalModel
    classifier: Classifier
