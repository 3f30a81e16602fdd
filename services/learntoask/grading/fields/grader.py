"""FieldGrader: which fields of its task a question asks for, by words, meaning, and what experts asked for like it."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from learntoask.core.answer import decision_of
from learntoask.core.pack import Pack
from learntoask.grading.encoders.encoder import Encoder, Vectors
from learntoask.grading.examples import fold_of, one_line
from learntoask.grading.fields.candidates import Schema
from learntoask.grading.fields.features import PairFeatures
from learntoask.grading.fields.fitted import ASKED_FROM, Fitted
from learntoask.grading.fields.neighbours import Neighbours
from learntoask.grading.fields.storage import read_grader
from learntoask.grading.fields.word_pairs import WordPairs
from learntoask.grading.fluency import FluencyGuard
from learntoask.grading.grades import (
    REFUSED,
    UNLIKE_EXPERTS,
    Grade,
    GradeCase,
    Missing,
    grade_by_rule,
    question_grade,
)

_REMEMBERED = 20_000  # findings kept, since a policy that converges repeats itself


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What a question asks for, before any target is known."""

    probabilities: dict[str, float]  # by field of the task
    asks: float  # probability that it asks for anything of the task
    unlike: bool  # unlike every expert question, so that the probabilities say nothing


class FieldGrader:
    """See Grader. Findings depend on pack, fit, task and text, and on the session only through what is left out:
    equal cases get equal grades, whatever else is graded with them."""

    def __init__(self, fitted: Fitted, *, pack: Pack, encoder: Encoder, digest: str = "") -> None:
        self.digest = digest
        self.fitted = fitted
        self._guard = FluencyGuard(pack)
        self._schema = Schema(pack, encoder)
        vectors = encoder.encode([example.text for example in fitted.examples])
        self._neighbours = Neighbours(self._schema, fitted.examples, vectors)
        self._features = PairFeatures(self._schema, encoder, self._neighbours)
        self._word_pairs = WordPairs(fitted.examples)
        self._remembered: OrderedDict[tuple[str, str, str], Finding] = OrderedDict()

    @classmethod
    def load(cls, folder: Path, pack: Pack) -> FieldGrader:
        """Raises InputError where `folder` holds no grader of this pack, StageError without its encoder."""
        stored = read_grader(folder, pack)
        return cls(stored.fitted, pack=pack, encoder=stored.encoder, digest=stored.digest)

    def grade(self, cases: Sequence[GradeCase]) -> list[Grade | Missing]:
        """See Grader."""
        asking = [
            case
            for case in cases
            if decision_of(case.response) == "continue" and self._guard.asking(case.response)
        ]
        questions = {id(case) for case in asking}
        found = iter(self.findings([(case.session_id, case.task, case.response) for case in asking]))
        return [
            self._graded(next(found), case.target)
            if id(case) in questions
            else grade_by_rule(case) or REFUSED
            for case in cases
        ]

    def findings(self, questions: Sequence[tuple[str, str, str]]) -> list[Finding]:
        """For each (session, task, text), taken to be a question. Raises InputError for an unknown task."""
        keys = [(self._left_out(session), task, one_line(text)) for session, task, text in questions]
        new = [key for key in dict.fromkeys(keys) if key not in self._remembered]
        units = self._features.units(dict.fromkeys(text for _, _, text in new))
        fresh = {key: self._finding(*key, units=units[key[2]]) for key in new}
        found = [fresh[key] if key in fresh else self._remembered[key] for key in keys]
        self._remembered |= fresh
        while len(self._remembered) > _REMEMBERED:
            self._remembered.popitem(last=False)
        return found

    def _left_out(self, session: str) -> str:
        """Sessions the grader never saw differ in nothing but their fold."""
        return session if self._neighbours.knows(session) else f"\n{fold_of(session)}"

    def _finding(self, session: str, task: str, text: str, *, units: Vectors) -> Finding:
        fitted = self.fitted
        fold = int(session[1:]) if session.startswith("\n") else fold_of(session)
        pairs = self._features.pairs(
            text, units, task=task, session_id=session, lexical=fitted.lexical, fold=fold
        )
        likely = fitted.classifier.probabilities(pairs, fold=fold)
        asks = fitted.idle.asks(text, pairs, likely, fold=fold) if fitted.idle else 1.0
        candidates = self._schema.candidates[task]
        matched = np.array([any(pattern.search(text) for pattern in one.patterns) for one in candidates])
        likely = 1 - (1 - likely) * (1 - fitted.pattern_precision * matched)
        if matched.any():
            asks = max(asks, fitted.pattern_precision)
        return Finding(
            probabilities={one.name: float(p) for one, p in zip(candidates, likely, strict=True)},
            asks=asks,
            unlike=self._neighbours.nearest(units[0], without=session) < fitted.bounds.far_below
            or self._word_pairs.new_share(text, without=session) > fitted.bounds.new_above,
        )

    def _graded(self, finding: Finding, target: frozenset[str]) -> Grade | Missing:
        bounds = self.fitted.bounds
        if finding.unlike:
            return UNLIKE_EXPERTS
        if finding.asks < bounds.idle_from:
            return question_grade(frozenset(), target=target)
        if finding.asks < bounds.idle_to:
            return Missing("unsure whether the question asks for anything of the task")
        likeliest = max(finding.probabilities.values())
        if abs(likeliest - ASKED_FROM) < bounds.unsure:
            return Missing("unsure which field the question asks for")
        asked = (name for name, likely in finding.probabilities.items() if likely >= ASKED_FROM)
        return question_grade(frozenset(asked), target=target)
