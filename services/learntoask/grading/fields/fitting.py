"""Fit a grader on labelled expert questions.

Every session is in a fold. The models of a fold are fitted on the other folds, and the neighbours of a question come
from other sessions. So no question is graded by a model that was fitted on its session: the measured figures are
held-out figures, and training may reward questions in sessions on which the grader was fitted.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from learntoask.core.pack import Pack
from learntoask.grading.cues import NO_CUES, LearnedCues
from learntoask.grading.encoders.caching import CachingEncoder
from learntoask.grading.examples import Example, fold_of
from learntoask.grading.fields.candidates import ANYTHING, PackFields
from learntoask.grading.fields.classifiers import Classifier, Kind
from learntoask.grading.fields.features import PairFeatures, question_features
from learntoask.grading.fields.fitted import ASKED_FROM, FittedModels, GradeBounds, IdleClassifier
from learntoask.grading.fields.grader import FieldGrader
from learntoask.grading.fields.lexical import LexicalModel, crosses
from learntoask.grading.fields.neighbours import Neighbours
from learntoask.grading.fields.sklearn import Rows, fit_lexical, fit_linear, fit_trees
from learntoask.grading.fields.word_pairs import WordPairs

_FOREIGN_BELOW = 0.3  # similarity of two fields below which a question about one does not ask for the other
_NOT_NEAR = 0.5  # similarity of two questions below which they do not ask for the same thing
# Shares of expert questions that are graded as asking for nothing, and as asking for nothing or uncertain.
_IDLE_SHARE = (0.003, 0.01)
_FEWEST_QUESTIONS = 40  # with fewer questions these shares cannot set the bounds
_UNLIKE_SHARE = 0.001  # share of expert questions beyond each of the bounds far_below and new_above
# The limits of those two bounds: a new wording is not babble if the experts always use the same one.
_MOST_FAR_BELOW = 0.4
_LEAST_NEW_ABOVE = 2 / 3
_UNSURE = 0.12  # bound `unsure`; on SGD it leaves out 2 % of expert questions, of which half would be misread
_TRUST = 0.9  # prior of the precision of patterns, with the weight of _TRUST_WEIGHT matches
_TRUST_WEIGHT = 5.0
ReportStep = Callable[[int, int, str], None]
"""Called with (done, total, what) to report progress."""


class GraderFit:
    """A fit: its examples, with their vectors and features."""

    def __init__(
        self, examples: Sequence[Example], *, pack: Pack, encoder: CachingEncoder, step: ReportStep
    ) -> None:
        """`examples` ask for at least one field each. The grader looks up neighbours among them."""
        self.pack_fields = PackFields(pack, encoder)
        self._examples = examples
        self._encoder = encoder
        self._step = step
        self._vectors = encoder.encode([example.text for example in examples])
        self._neighbours = Neighbours(self.pack_fields, examples, self._vectors)
        self._features = PairFeatures(self.pack_fields, encoder, self._neighbours)

    def fit_models(self, kind: Kind, idle: Sequence[Example]) -> FittedModels:
        """Fit the models. `idle` are questions that are known to ask for no field of their task."""
        asks = [self._asks(example) for example in self._examples]
        lexical = fit_lexical(
            (cross for example in self._examples for cross in self._crosses(example)),
            np.concatenate(asks),
            np.repeat(
                [fold_of(example.session_id) for example in self._examples], [len(row) for row in asks]
            ),
        )
        pairs = self._pairs(self._examples, lexical, "comparing questions")
        rows = Rows.of(pairs, asks, [fold_of(example.session_id) for example in self._examples])
        self._step(0, 1, f"fitting ({kind})")
        classifier: Classifier = fit_linear(rows) if kind == "linear" else fit_trees(rows)
        probabilities = self._probabilities(self._examples, pairs, classifier)
        idle_classifier, asking = self._fit_idle(idle, lexical, classifier, pairs, probabilities)
        return FittedModels(
            examples=tuple(self._examples),
            lexical=lexical,
            classifier=classifier,
            idle=idle_classifier,
            pattern_precision=self._pattern_precision(),
            bounds=self._bounds(asking),
        )

    def texts(self) -> list[str]:
        """Return all texts whose vectors the grader needs."""
        return [*self.pack_fields.texts, *(example.text for example in self._examples)]

    def _fit_idle(
        self,
        idle: Sequence[Example],
        lexical: LexicalModel,
        classifier: Classifier,
        pairs: Sequence[NDArray[np.float64]],
        probabilities: Sequence[NDArray[np.float64]],
    ) -> tuple[IdleClassifier | None, NDArray[np.float64]]:
        """Fit the classifier of idle questions, and return it with its probability for each example."""
        others = [*idle, *self._foreign()]
        if not others:
            return None, np.ones(len(self._examples))
        other_pairs = self._pairs(others, lexical, "comparing other questions")
        other_probabilities = self._probabilities(others, other_pairs, classifier)
        everything = [*self._examples, *others]
        folds = [fold_of(example.session_id) for example in everything]
        asking = np.arange(len(everything)) < len(self._examples)
        wording = fit_lexical(
            (cross for example in everything for cross in crosses(example.text, [ANYTHING])),
            asking,
            np.array(folds),
        )
        features = [
            question_features(rows, chances, float(wording.logits(example.text, [ANYTHING], fold=fold)[0]))[
                None
            ]
            for example, fold, rows, chances in zip(
                everything, folds, [*pairs, *other_pairs], [*probabilities, *other_probabilities], strict=True
            )
        ]
        model = fit_linear(Rows.of(features, [np.array([flag]) for flag in asking], folds))
        chances = [
            float(model.probabilities(row, fold=fold)[0])
            for row, fold, flag in zip(features, folds, asking, strict=True)
            if flag
        ]
        return IdleClassifier(wording=wording, classifier=model), np.array(chances)

    def _pairs(
        self, examples: Sequence[Example], lexical: LexicalModel, what: str
    ) -> list[NDArray[np.float64]]:
        self._step(0, len(examples), what)
        units = self._features.units(dict.fromkeys(example.text for example in examples))
        found = []
        for number, example in enumerate(examples, start=1):
            session, fold = example.session_id, fold_of(example.session_id)
            found.append(
                self._features.pairs(
                    example.text,
                    units[example.text],
                    task=example.task,
                    session_id=session,
                    lexical=lexical,
                    fold=fold,
                )
            )
            if number % 100 == 0 or number == len(examples):
                self._step(number, len(examples), what)
        return found

    def _probabilities(
        self, examples: Sequence[Example], pairs: Sequence[NDArray[np.float64]], classifier: Classifier
    ) -> list[NDArray[np.float64]]:
        return [
            classifier.probabilities(rows, fold=fold_of(example.session_id))
            for example, rows in zip(examples, pairs, strict=True)
        ]

    def _foreign(self) -> list[Example]:
        """Return questions as if they were put to a task of another group, for which they ask for nothing.

        One task is drawn per question. The question is left out if the task has a similar field or question.
        """
        pack_fields, tasks, found = self.pack_fields, sorted(self.pack_fields.slices), []
        for example, vector in zip(self._examples, self._vectors, strict=True):
            draw = zlib.crc32(f"{example.session_id}\n{example.text}".encode("utf-8", errors="surrogatepass"))
            task = tasks[draw % len(tasks)]
            asked = [pack_fields.place(example.task, field) for field in example.asked]
            if (
                pack_fields.groups[task] != pack_fields.groups[example.task]
                and pack_fields.likeness(task)[:, asked].max() < _FOREIGN_BELOW
                and self._neighbours.nearest(vector, task, without=example.session_id) < _NOT_NEAR
            ):
                found.append(
                    Example(session_id=example.session_id, task=task, text=example.text, asked=frozenset())
                )
        return found

    def _asks(self, example: Example) -> NDArray[np.bool_]:
        return np.array(
            [candidate.name in example.asked for candidate in self.pack_fields.candidates[example.task]]
        )

    def _crosses(self, example: Example) -> list[tuple[NDArray[np.int64], NDArray[np.float64]]]:
        return crosses(example.text, self.pack_fields.candidates[example.task])

    def _bounds(self, asking: NDArray[np.float64]) -> GradeBounds:
        """Set the bounds. `asking` is the probability of each example that it asks for a field."""
        low = high = ASKED_FROM
        if len(asking) >= _FEWEST_QUESTIONS:
            low, high = (min(float(bound), ASKED_FROM) for bound in np.quantile(asking, _IDLE_SHARE))
        pairs = WordPairs(self._examples)
        nearest = [
            self._neighbours.nearest(vector, without=example.session_id)
            for example, vector in zip(self._examples, self._vectors, strict=True)
        ]
        new = [pairs.new_share(example.text, without=example.session_id) for example in self._examples]
        return GradeBounds(
            idle_from=low,
            idle_to=high,
            unsure=_UNSURE,
            far_below=min(float(np.quantile(nearest, _UNLIKE_SHARE)), _MOST_FAR_BELOW),
            new_above=max(float(np.quantile(new, 1 - _UNLIKE_SHARE)), _LEAST_NEW_ABOVE),
        )

    def _pattern_precision(self) -> float:
        right = matches = 0
        for example in self._examples:
            for candidate in self.pack_fields.candidates[example.task]:
                if any(search(example.text) for search in candidate.patterns):
                    matches += 1
                    right += candidate.name in example.asked
        return (right + _TRUST * _TRUST_WEIGHT) / (matches + _TRUST_WEIGHT)


def fit_grader(
    examples: Sequence[Example],
    idle: Sequence[Example],
    *,
    pack: Pack,
    kind: Kind,
    encoder: CachingEncoder,
    step: ReportStep,
    cues: LearnedCues = NO_CUES,
) -> tuple[FieldGrader, list[str]]:
    """Fit a grader, and return it with the texts whose vectors it needs. `examples` must not be empty.

    `idle` are questions that are known to ask for no field of their task; `cues` tell questions without a mark.
    """
    fit = GraderFit(examples, pack=pack, encoder=encoder, step=step)
    grader = FieldGrader(fit.fit_models(kind, idle), pack=pack, encoder=encoder, cues=cues)
    return grader, fit.texts()
