"""From a log session to decision points: expert turns, stripped end markers, and (by `endings`) the one stop.

A turn is a run of consecutive assistant messages after a message of the user. A run in which a policy wrote too is
context only: the expert did not decide on that context alone. What follows the stop is no decision point.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from learntoask.core.pack import Pack
from learntoask.core.records import STOP, Message, Session, Turn
from learntoask.labeling.endings import EndingRules, Run, find_ending
from learntoask.labeling.parsing import LogSession
from learntoask.labeling.patterns import Search, any_of
from learntoask.labeling.quarantine import Reason, Rejected

_LEAVE_OUT = "nothing can be learned from this session; leave it out"


@dataclass(frozen=True)
class Rules:
    """The pack's rules about sessions, compiled."""

    markers: tuple[str, ...]
    excluded: Search
    ending: EndingRules

    @classmethod
    def of(cls, pack: Pack) -> Rules:
        # The model's own stop string is stripped whatever the pack says: served conversations come back as logs.
        markers = {*pack.end_markers, STOP} - {""}
        return cls(
            markers=tuple(sorted(markers, key=len, reverse=True)),
            excluded=any_of(pack.exclusions),
            ending=EndingRules.of(pack),
        )


def build_session(log: LogSession, rules: Rules) -> tuple[Session, int]:
    """The session (its split still `train`) and how many end markers of the expert the log holds.

    Raises Rejected where the log holds no decision point.
    """
    if any(rules.excluded(message.content) for message in log.messages):
        problem = "a message matches the pack's exclusions"
        raise Rejected(Reason.EXCLUDED, "messages", problem, "this is what they are for; nothing to do")
    messages = tuple(_stripped(message, rules.markers) for message in log.messages)
    marked = [i for i, (old, new) in enumerate(zip(log.messages, messages, strict=True)) if old is not new]
    runs = _decision_runs(messages)
    acts = [i for i in marked if messages[i].author == "expert"]
    if len(acts) > 1 and not any(messages[i].content for run in runs for i in range(run.start, run.end)):
        problem = f"all {len(acts)} messages of the expert are end markers"
        raise Rejected(Reason.ONLY_STOPS, "messages", problem, "export what the expert said, or keep one")
    act, end = find_ending(messages, runs, marked=marked, rules=rules.ending, task=log.task)
    if act is not None:
        runs = [run for run in runs if run.start <= act]
    if not runs:
        problem = "the expert acts before the user has said anything"
        raise Rejected(Reason.NO_EXPERT_TURN, "messages", problem, _LEAVE_OUT)
    stops = act is not None and runs[-1].start <= act < runs[-1].end
    session = Session.model_construct(
        session_id=log.session_id,
        split="train",
        task=log.task,
        goal=log.goal,
        messages=messages,
        turns=tuple(_turn(run, messages) for run in runs),
        end=end,
        stop_turn=len(runs) - 1 if stops else None,
        extras=log.extras,
    )
    return session, len(acts)


def strip_markers(content: str, markers: Sequence[str]) -> str:
    """`content` itself if no marker is in it; else without them, white space at its ends removed.

    Repeated, since what is left of two markers may be a third.
    """
    stripped = content
    while any(marker in stripped for marker in markers):
        for marker in markers:
            stripped = stripped.replace(marker, "")
    return content if stripped is content else stripped.strip()


def _stripped(message: Message, markers: Sequence[str]) -> Message:
    content = strip_markers(message.content, markers)
    if content is message.content:
        return message
    return Message.model_construct(role=message.role, content=content, author=message.author)


def _decision_runs(messages: Sequence[Message]) -> list[Run]:
    """Runs of the expert after the user's first words. Raises Rejected when there are none.

    A user message that stripping left empty ends no run: the context would not change with it.
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
        remedy = "export the user's messages too, or check the role words"
        raise Rejected(Reason.NO_USER_MESSAGE, "messages", "only the assistant speaks", remedy)
    decisions = [Run(run[0], run[-1] + 1) for run in runs if all(messages[i].author == "expert" for i in run)]
    if not decisions:
        problem = "no expert answers a message of the user"
        raise Rejected(Reason.NO_EXPERT_TURN, "messages", problem, _LEAVE_OUT)
    return decisions


def _turn(run: Run, messages: Sequence[Message]) -> Turn:
    silent = not any(message.content for message in messages[run.start : run.end])
    return Turn.model_construct(start=run.start, end=run.start if silent else run.end)
