"""The prompts of the labeller `llm` as prompts that answers can revise.

A candidate labels only the sessions that people were asked about. What it finds in a turn is known there even if no
sample follows from it, which cannot be said of published labels. So the prompt of the pack labels these sessions, too.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from learntoask.calibration.agreement import Judgement
from learntoask.calibration.answers import YES, Answered
from learntoask.calibration.revise.bullets import ACTING, ASKING
from learntoask.calibration.revise.prompts import RevisablePrompt
from learntoask.core.manifest import LlmLabelling
from learntoask.core.pack import Pack
from learntoask.core.records import Session
from learntoask.labeling.labellers.protocol import Findings, TurnLabel
from learntoask.labeling.llm.labeller import LlmLabeller
from learntoask.labeling.llm.prompt import reads_acts
from learntoask.labeling.samples import make_samples

_AGAIN = "If a field is asked for again in a later message, list it there, too."


@dataclass(frozen=True)
class PromptedLabeller:
    """The labeller `llm` on the sessions of answered items, with the prompts of any pack.

    `work` holds the journals, which are those of the stage that labels everything again afterwards. So no reply is
    asked for twice, and the labeller's budget is for all candidates and that stage together.
    """

    settings: LlmLabelling
    sessions: Mapping[str, Session]
    work: Path

    def prompts(self, pack: Pack) -> list[RevisablePrompt]:
        """Return the prompt about what is asked and, if the model reads it, the one about where the expert acts."""
        asking = RevisablePrompt(
            name="micro_goal",
            title="prompt of the labeller",
            reader="labeller",
            kind="asks_for",
            bullets=(*ASKING, _AGAIN),
            finds=self.asked,
        )
        acting = RevisablePrompt(
            name="macro_goal",
            title="prompt of the labeller about acting",
            reader="labeller",
            kind="is_stop",
            bullets=ACTING,
            finds=self.acts,
        )
        return [asking, acting] if reads_acts(self.settings, pack) else [asking]

    def asked(self, pack: Pack, answered: Sequence[Answered]) -> Judgement:
        """Return the fields that turns ask for. Nothing is known of a turn that could not be labelled."""
        return {
            (session.session_id, turn): frozenset(label.requested)
            for session, found, _ in self._label(pack, answered)
            for turn, label in enumerate(found.turns)
            if isinstance(label, TurnLabel)
        }.get

    def acts(self, pack: Pack, answered: Sequence[Answered]) -> Judgement:
        """Return whether the expert acts in a turn. A stop that the model disputes counts as none."""
        return {
            (session.session_id, turn): frozenset(
                {YES} if turn == stop and isinstance(label, TurnLabel) else ()
            )
            for session, found, stop in self._label(pack, answered)
            for turn, label in enumerate(found.turns)
        }.get

    def _label(
        self, pack: Pack, answered: Sequence[Answered]
    ) -> Iterator[tuple[Session, Findings, int | None]]:
        """Yield the sessions of the items with what is found in them and the turn of the stop."""
        self.work.mkdir(parents=True, exist_ok=True)
        labeller = LlmLabeller(pack, self.settings, work=self.work)
        ids = dict.fromkeys(one.item.origin.session_id for one in answered)
        for session, found in labeller.label_all(self.sessions[one] for one in ids):
            labelling = make_samples(
                session,
                found,
                stop_at=pack.stop_at,
                require_marker=pack.require_end_marker,
                provenance=labeller.provenance,
            )
            yield session, found, labelling.labelled.session.stop_turn
