"""The labeller that `lta data check` uses for a session: the one that a run would use, as far as the check knows it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Literal

from learntoask.core.pack import Pack
from learntoask.core.records import Session
from learntoask.labeling.labellers.annotated import ANNOTATIONS, AnnotatedLabeller
from learntoask.labeling.labellers.lexicon import LexiconLabeller

Method = Literal["annotated", "lexicon", "llm"]


@dataclass
class LabellerChoice:
    """Chooses a labeller for every session, and says which ones it chose and why.

    `method` is the run's `label.method`; None chooses `annotated` for sessions with the key `annotations`, and
    `lexicon` for the others. `llm` is checked with `lexicon`, because a check asks no model.
    """

    pack: Pack
    method: Method | None
    unknown_items: Literal["error", "ignore"] = "error"
    used: Counter[str] = field(default_factory=Counter)  # sessions by labeller

    def __post_init__(self) -> None:
        self._annotated = AnnotatedLabeller(self.pack, unknown_items=self.unknown_items)
        self._lexicon = LexiconLabeller(self.pack)

    def for_session(self, session: Session) -> AnnotatedLabeller | LexiconLabeller:
        """Return the labeller of one session."""
        has_annotations = ANNOTATIONS in session.extras
        annotated = self.method == "annotated" or (self.method is None and has_annotations)
        chosen = self._annotated if annotated else self._lexicon
        self.used[chosen.provenance.labeller] += 1
        return chosen

    def reason(self) -> str:
        """Return a sentence that says which labellers were used, and why."""
        if self.method == "llm":
            return "labelled by lexicon: label.method is llm, and a check asks no model"
        if self.method is not None:
            return f"labelled by {self.method}, as asked for"
        annotated, lexicon = self.used["annotated"], self.used["lexicon"]
        if not annotated:
            return "labelled by lexicon: no session has the key `annotations`"
        others = f"; {lexicon} without it by lexicon" if lexicon else ""
        return (
            f"{annotated} sessions labelled by annotated, because they have the key `annotations`{others}. "
            "A run uses label.method (lexicon if it names none) for all; --method chooses here"
        )
