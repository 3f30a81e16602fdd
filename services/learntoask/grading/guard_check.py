"""Count the experts' own questions that the fluency guard refuses, with the reason and examples.

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
from learntoask.grading.examples import Example
from learntoask.grading.fluency import FluencyGuard

WARN_ABOVE = 0.1
"""Share of the experts' questions, refused or without a grade, above which a person should look."""
FAIL_ABOVE = 0.5
"""Share of refused questions above which a run stops before it trains on grades that mean nothing."""
GUARD_REMEDY = (
    "Change the rule that the reason names, which is under fluency in the pack. If the experts ask without question "
    "marks, set language in the pack to that of the logs, or add patterns to fluency.questions"
)
_EXAMPLES = 3
_SHOWN_LETTERS = 100


class GuardCheck:
    """Counts the labelled questions of experts, and those that the guard of a pack refuses."""

    def __init__(self, pack: Pack) -> None:
        self.questions = 0
        self._guard = FluencyGuard(pack)
        self._refused: Counter[str] = Counter()  # by reason
        self._texts: dict[str, dict[str, None]] = {}  # by reason, the first different ones

    def add(self, questions: Iterable[Example]) -> None:
        for question in questions:
            self.questions += 1
            reason = self._guard.refusal(question.text)
            if reason is not None:
                self._refused[reason] += 1
                texts = self._texts.setdefault(reason, {})
                if len(texts) < _EXAMPLES:
                    texts[shorten(question.text, _SHOWN_LETTERS)] = None

    @property
    def refused(self) -> int:
        return self._refused.total()

    @property
    def refused_share(self) -> float:
        return self.refused / self.questions if self.questions else 0.0

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
        reason = next((reason for reason, _ in self._refused.most_common(1)), "")
        return reason, list(self._texts.get(reason, ()))
