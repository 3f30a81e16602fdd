"""FieldGrader: find the fields that a question asks for, by its words, its meaning, and similar expert questions."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from learntoask.core.answer import decision_of
from learntoask.core.pack import Pack
from learntoask.core.text.characters import one_line
from learntoask.grading.cues import NO_CUES, LearnedCues
from learntoask.grading.encoders.encoder import Encoder, Vectors
from learntoask.grading.examples import fold_of
from learntoask.grading.fields.candidates import PackFields
from learntoask.grading.fields.features import PairFeatures
from learntoask.grading.fields.fitted import FittedModels, GradeBounds
from learntoask.grading.fields.neighbours import Neighbours
from learntoask.grading.fields.storage import read_grader
from learntoask.grading.fields.word_pairs import WordPairs
from learntoask.grading.fluency import FluencyGuard
from learntoask.grading.grades import (
    REFUSED,
    UNLIKE_EXPERTS,
    Grade,
    GradeCase,
    MissingGrade,
    grade_by_rule,
    question_grade,
)

_REMEMBERED = 20_000  # cached estimates; a policy that converges repeats its questions


@dataclass(frozen=True, kw_only=True)
class FieldEstimate:
    """What a question asks for, before it is compared with a target."""

    probabilities: dict[str, float]  # by field of the task
    asks: float  # probability that it asks for any field of the task
    unlike: bool  # unlike every expert question, so the probabilities have no meaning


class FieldGrader:
    """See Grader. The grade of a case does not depend on the other cases of a call.

    It depends on the case's session only because that session's examples and its fold are left out.
    """

    def __init__(
        self,
        fitted: FittedModels,
        *,
        pack: Pack,
        encoder: Encoder,
        cues: LearnedCues = NO_CUES,
        digest: str = "",
    ) -> None:
        self.digest = digest
        self.fitted = fitted
        self.encoder = encoder
        self._guard = FluencyGuard(pack, cues)
        self._pack_fields = PackFields(pack, encoder)
        vectors = encoder.encode([example.text for example in fitted.examples])
        self._neighbours = Neighbours(self._pack_fields, fitted.examples, vectors)
        self._features = PairFeatures(self._pack_fields, encoder, self._neighbours)
        self._word_pairs = WordPairs(fitted.examples)
        self._remembered: OrderedDict[tuple[str, str, str], FieldEstimate] = OrderedDict()

    @classmethod
    def load(cls, folder: Path, pack: Pack) -> FieldGrader:
        """Load the grader in `folder`.

        Raises InputError when there is none of this pack, StageError when the encoder's package is missing.
        """
        stored = read_grader(folder, pack)
        return cls(stored.fitted, pack=pack, encoder=stored.encoder, cues=stored.cues, digest=stored.digest)

    def use_bounds(self, bounds: GradeBounds) -> None:
        """Grade with other bounds from now on. The digest is then that of no published grader."""
        self.fitted = replace(self.fitted, bounds=bounds)
        self.digest = ""

    def use_encoder(self, encoder: Encoder) -> None:
        """Encode questions with another encoder of the same kind, such as one that knows more vectors."""
        self.encoder = encoder
        self._features = PairFeatures(self._pack_fields, encoder, self._neighbours)

    def grade(self, cases: Sequence[GradeCase]) -> list[Grade | MissingGrade]:
        """See Grader."""
        asking = [
            case
            for case in cases
            if decision_of(case.response) == "continue" and self._guard.asking(case.response)
        ]
        questions = {id(case) for case in asking}
        estimates = iter(self.estimates([(case.session_id, case.task, case.response) for case in asking]))
        return [
            self._grade_estimate(next(estimates), case.target)
            if id(case) in questions
            else grade_by_rule(case) or REFUSED
            for case in cases
        ]

    def estimates(self, questions: Sequence[tuple[str, str, str]]) -> list[FieldEstimate]:
        """Return the estimate of each question (session, task, text). Raises InputError for an unknown task.

        The fluency guard is not asked whether the texts are questions.
        """
        keys = [(self._left_out(session), task, one_line(text)) for session, task, text in questions]
        new = [key for key in dict.fromkeys(keys) if key not in self._remembered]
        units = self._features.units(dict.fromkeys(text for _, _, text in new))
        fresh = {key: self._estimate(*key, units=units[key[2]]) for key in new}
        found = [fresh[key] if key in fresh else self._remembered[key] for key in keys]
        self._remembered |= fresh
        while len(self._remembered) > _REMEMBERED:
            self._remembered.popitem(last=False)
        return found

    def _left_out(self, session: str) -> str:
        """Return the session, or only its fold if it has no examples, because such sessions differ in nothing else."""
        return session if self._neighbours.knows(session) else f"\n{fold_of(session)}"

    def _estimate(self, session: str, task: str, text: str, *, units: Vectors) -> FieldEstimate:
        fitted = self.fitted
        fold = int(session[1:]) if session.startswith("\n") else fold_of(session)
        pairs = self._features.pairs(
            text, units, task=task, session_id=session, lexical=fitted.lexical, fold=fold
        )
        probabilities = fitted.classifier.probabilities(pairs, fold=fold)
        asks = fitted.idle.asks(text, pairs, probabilities, fold=fold) if fitted.idle else 1.0
        candidates = self._pack_fields.candidates[task]
        matched = np.array([any(search(text) for search in candidate.patterns) for candidate in candidates])
        probabilities = 1 - (1 - probabilities) * (1 - fitted.pattern_precision * matched)
        if matched.any():
            asks = max(asks, fitted.pattern_precision)
        return FieldEstimate(
            probabilities={
                candidate.name: float(p) for candidate, p in zip(candidates, probabilities, strict=True)
            },
            asks=asks,
            unlike=self._neighbours.nearest(units[0], without=session) < fitted.bounds.far_below
            or self._word_pairs.new_share(text, without=session) > fitted.bounds.new_above,
        )

    def _grade_estimate(self, estimate: FieldEstimate, target: frozenset[str]) -> Grade | MissingGrade:
        bounds = self.fitted.bounds
        if estimate.unlike:
            return UNLIKE_EXPERTS
        if estimate.asks < bounds.idle_from:
            return question_grade(frozenset(), target=target)
        if estimate.asks < bounds.idle_to:
            return MissingGrade("unsure whether the question asks for anything of the task")
        likeliest = max(estimate.probabilities.values())
        if abs(likeliest - bounds.asked_from) < bounds.unsure:
            return MissingGrade("unsure which field the question asks for")
        asked = (name for name, p in estimate.probabilities.items() if p >= bounds.asked_from)
        return question_grade(frozenset(asked), target=target)
