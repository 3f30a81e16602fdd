"""Count the experts' own questions that the fluency guard refuses, with the reason, examples, and what to change.

A guard that refuses the experts' questions refuses the same questions of a policy. Rewards and figures are then 0, and
a server answers with the fallback question only.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

from learntoask.core.pack import Pack
from learntoask.core.status.conditions import shorten
from learntoask.grading.agreement import share
from learntoask.grading.cues import NO_CUES, LearnedCues
from learntoask.grading.examples import Example
from learntoask.grading.fluency import NO_ASKING, FluencyGuard, Refusal

WARN_ABOVE = 0.1
"""Share of the experts' questions, refused or without a grade, above which a person should look."""
FAIL_ABOVE = 0.5
"""The same share above which a run stops before it trains on grades that mean nothing."""

_EXAMPLES = 3
_SHOWN_LETTERS = 100
_MOST_REMEMBERED = 50_000  # different questions that `recheck` can take back


class GuardCheck:
    """Counts the labelled questions of experts, and those that the guard of a pack refuses."""

    def __init__(self, pack: Pack, cues: LearnedCues = NO_CUES) -> None:
        self.questions = 0
        self._pack = pack
        self._guard = FluencyGuard(pack, cues)
        self._refused: Counter[Refusal] = Counter()
        self._texts: dict[Refusal, dict[str, None]] = {}  # the first different ones
        self._unmarked: Counter[str] = Counter()  # texts refused for NO_ASKING

    def add(self, questions: Iterable[Example]) -> None:
        for question in questions:
            self.questions += 1
            refusal = self._guard.refusal(question.text)
            if refusal is None:
                continue
            self._refuse(question.text, refusal)
            if refusal == NO_ASKING and (
                question.text in self._unmarked or len(self._unmarked) < _MOST_REMEMBERED
            ):
                self._unmarked[question.text] += 1

    def recheck(self, cues: LearnedCues) -> None:
        """Take back the refusals of questions that have a learned cue. Call it once, after the last question."""
        guard = FluencyGuard(self._pack, cues)
        passed = {text for text in self._unmarked if guard.refusal(text) is None} if cues else set()
        if not passed:
            return
        self._refused[NO_ASKING] -= sum(self._unmarked[text] for text in passed)
        self._refused += Counter()  # without those that are 0 now
        self._texts[NO_ASKING] = dict.fromkeys(
            shorten(text, _SHOWN_LETTERS)
            for text in [text for text in self._unmarked if text not in passed][:_EXAMPLES]
        )

    def _refuse(self, text: str, refusal: Refusal) -> None:
        self._refused[refusal] += 1
        texts = self._texts.setdefault(refusal, {})
        if len(texts) < _EXAMPLES:
            texts[shorten(text, _SHOWN_LETTERS)] = None

    @property
    def refused(self) -> int:
        return self._refused.total()

    @property
    def refused_share(self) -> float:
        return self.refused / self.questions if self.questions else 0.0

    @property
    def remedy(self) -> str:
        """What to change, for the reasons of at least a tenth of the refusals. Empty if nothing is refused."""
        remedies = [
            refusal.remedy
            for refusal, count in self._refused.most_common()
            if count >= WARN_ABOVE * self.refused
        ]
        text = "; ".join(dict.fromkeys(remedies))
        return text[:1].upper() + text[1:]

    def figures(self) -> dict[str, Any]:
        """Return the refused share with its interval, and for the commonest reason examples."""
        refused = [True] * self.refused + [False] * (self.questions - self.refused)
        reason, texts = self._commonest()
        return {"refused": share(refused), **({"reason": reason, "examples": texts} if reason else {})}

    def __str__(self) -> str:
        found = (
            f"the fluency guard refuses {self.refused} of the experts' own {self.questions} labelled questions "
            f"({self.refused_share:.0%})"
        )
        reason, texts = self._commonest()
        return f"{found}; most often: {reason}, as in {', '.join(map(repr, texts))}" if reason else found

    def _commonest(self) -> tuple[str, list[str]]:
        for refusal, _ in self._refused.most_common(1):
            return refusal.reason, list(self._texts[refusal])
        return "", []
