"""Find the decision points of a logged session: strip end markers, find expert turns, and find the one stop.

An expert turn is a run of consecutive assistant messages after a user message. A run to which a policy contributed is
only context, because the expert did not decide on the context alone. Turns after the stop are no decision points.
`endings` finds the stop.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from learntoask.core.pack import Pack
from learntoask.core.records import STOP, Session
from learntoask.core.text.patterns import Search
from learntoask.labeling.logs.endings import EndingRules, MessageRun, find_ending
from learntoask.labeling.logs.parsing import LogMessage, LogSession
from learntoask.labeling.logs.patterns import any_of
from learntoask.labeling.logs.quarantine import Reason, Rejected

_LEAVE_OUT = "nothing can be learned from this session; remove it"


@dataclass(frozen=True)
class SessionRules:
    """The pack's rules about sessions, with compiled patterns."""

    markers: re.Pattern[str]
    excluded: Search | None
    ending: EndingRules

    @classmethod
    def of(cls, pack: Pack) -> SessionRules:
        # Conversations with a served policy come back as logs, so the policy's stop string is always an end marker.
        markers = {*pack.end_markers, STOP} - {""}
        return cls(
            markers=re.compile(
                "|".join(re.escape(marker) for marker in sorted(markers, key=len, reverse=True))
            ),
            excluded=any_of(pack.exclusions) if pack.exclusions else None,
            ending=EndingRules.of(pack),
        )


def build_session(log: LogSession, rules: SessionRules) -> tuple[Session, int]:
    """Return the session, with its split still `train`, and the number of the expert's end markers in the log.

    Raises Rejected when the pack excludes the session or the log holds no decision point.
    """
    if rules.excluded and any(rules.excluded(message.content) for message in log.messages):
        problem = "a message matches the pack's exclusions"
        raise Rejected(Reason.EXCLUDED, "messages", problem, "the pack asks for this; nothing to do")
    marked = [i for i, message in enumerate(log.messages) if rules.markers.search(message.content)]
    messages = list(log.messages)
    for i in marked:
        messages[i] = messages[i]._replace(content=strip_markers(messages[i].content, rules.markers))
    runs = _decision_runs(messages)
    acts = [i for i in marked if messages[i].author == "expert"]
    if len(acts) > 1 and not any(messages[i].content for run in runs for i in range(run.start, run.end)):
        problem = f"all {len(acts)} messages of the expert are end markers"
        raise Rejected(
            Reason.ONLY_STOPS, "messages", problem, "export what the expert said, or keep one marker"
        )
    act, end = find_ending(messages, runs, marked=marked, rules=rules.ending, task=log.task)
    if act is not None:
        runs = [run for run in runs if run.start <= act]
    if not runs:
        problem = "the expert acts before the user has said anything"
        raise Rejected(Reason.NO_EXPERT_TURN, "messages", problem, _LEAVE_OUT)
    stops = act is not None and runs[-1].start <= act < runs[-1].end
    session = Session.model_validate(
        {
            "session_id": log.session_id,
            "split": "train",
            "task": log.task,
            "goal": log.goal,
            "messages": [message._asdict() for message in messages],
            "turns": [_turn(run, messages) for run in runs],
            "end": end,
            "stop_turn": len(runs) - 1 if stops else None,
            "extras": log.extras,
        }
    )
    return session, len(acts)


def strip_markers(content: str, markers: re.Pattern[str]) -> str:
    """Return `content` without its markers and without white space at its ends.

    The removal repeats, because the remainders of two markers can form a third.
    """
    while markers.search(content):
        content = markers.sub("", content)
    return content.strip()


def _decision_runs(messages: Sequence[LogMessage]) -> list[MessageRun]:
    """Return the expert's runs after the first message of the user. Raises Rejected when there are none.

    A user message that is empty without its markers does not end a run, because it adds nothing to the context.
    """
    runs: list[list[int]] = []
    user_spoke = user_speaks = False
    for index, message in enumerate(messages):
        if message.role == "user":
            user_speaks |= bool(message.content)
            user_spoke |= user_speaks
        elif user_speaks:
            runs.append([index])
            user_speaks = False
        elif user_spoke:
            runs[-1].append(index)
    if not user_spoke:
        remedy = "export the user's messages too, or check the role names"
        raise Rejected(Reason.NO_USER_MESSAGE, "messages", "only the assistant speaks", remedy)
    decisions = [
        MessageRun(run[0], run[-1] + 1) for run in runs if all(messages[i].author == "expert" for i in run)
    ]
    if not decisions:
        problem = "no expert answers a message of the user"
        raise Rejected(Reason.NO_EXPERT_TURN, "messages", problem, _LEAVE_OUT)
    return decisions


def _turn(run: MessageRun, messages: Sequence[LogMessage]) -> dict[str, int]:
    silent = not any(message.content for message in messages[run.start : run.end])
    return {"start": run.start, "end": run.start if silent else run.end}
