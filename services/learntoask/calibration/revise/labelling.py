"""The prompt of the labeller `llm` about what is asked, as a prompt that answers can revise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from learntoask.calibration.agreement import Judgement
from learntoask.calibration.answers import Answered
from learntoask.calibration.revise.prompts import RevisablePrompt
from learntoask.core.manifest import LlmLabelling
from learntoask.core.pack import Pack
from learntoask.core.records import Session
from learntoask.labeling.labellers.protocol import TurnLabel
from learntoask.labeling.llm.labeller import LlmLabeller


def labelling_prompt(
    settings: LlmLabelling, sessions: Mapping[str, Session], *, work: Path
) -> RevisablePrompt:
    """Return the prompt. A candidate labels only the sessions of the answered items.

    `work` holds the journals, which all candidates share with the stage that labels everything again. So no reply is
    asked for twice, and the labeller's budget is for all of them together.
    """

    def finds(pack: Pack, answered: Sequence[Answered]) -> Judgement:
        work.mkdir(parents=True, exist_ok=True)
        labeller = LlmLabeller(pack, settings, work=work)
        ids = dict.fromkeys(one.item.origin.session_id for one in answered)
        return {
            (session.session_id, turn): frozenset(label.requested)
            for session, found in labeller.label_all(sessions[one] for one in ids)
            for turn, label in enumerate(found.turns)
            if isinstance(label, TurnLabel)
        }.get

    return RevisablePrompt("micro_goal", title="prompt of the labeller", reader="labeller", finds=finds)
