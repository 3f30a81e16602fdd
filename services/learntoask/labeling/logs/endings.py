"""How a session ended, and the one message in which the expert acts (docs/method.md).

The first rule that applies decides; the first two are what the log says, the others are what patterns suggest:

1. an end marker: the expert acts in the first marked message; a hand-over if that turn, up to there, matches the
   hand-over patterns;
2. no marker though the pack requires one, and no hand-over: abandoned;
3. a hand-over: the first match after which the expert asks nothing more ("I will pass it on. How old?" is none);
4. the first match of the action patterns;
5. a policy's own stop: completed, without an act of an expert to learn from;
6. action patterns that match nothing, or the user's last word: abandoned;
7. the expert acts in the first turn of the final stretch that asks nothing; abandoned if even the last turn asks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from learntoask.core.pack import Pack
from learntoask.core.records import EndReason
from learntoask.labeling.logs.parsing import LogMessage
from learntoask.labeling.logs.patterns import Search, any_of

QUESTION_MARKS = "?\uff1f\u061f\u037e"  # ASCII, full-width, Arabic, Greek

Ending = tuple[int | None, EndReason]
"""Index of the message in which the expert acts, if one does, and how the session ended."""


@dataclass(frozen=True, slots=True)
class MessageRun:
    """Messages [start, end) of one expert turn."""

    start: int
    end: int


@dataclass(frozen=True)
class EndingRules:
    require_marker: bool
    action: Search
    has_actions: bool
    handoff: Search
    asks: dict[str, Search]  # per task: whether a text asks for one of its fields

    @classmethod
    def of(cls, pack: Pack) -> EndingRules:
        return cls(
            require_marker=pack.require_end_marker,
            action=any_of(pack.action_patterns),
            has_actions=bool(pack.action_patterns),
            handoff=any_of(pack.handoff_patterns),
            asks={
                task.name: any_of(tuple(pattern for one in task.fields for pattern in one.patterns))
                for task in pack.tasks
            },
        )


def find_ending(
    messages: Sequence[LogMessage],
    runs: Sequence[MessageRun],
    *,
    marked: Sequence[int],
    rules: EndingRules,
    task: str,
) -> Ending:
    """`messages` are stripped; `marked` are the indices of those that held an end marker."""
    expert = [i for i, message in enumerate(messages) if message.author == "expert"]
    marker = next((i for i in marked if messages[i].author == "expert"), None)
    if marker is not None:
        start = next((run.start for run in runs if run.start <= marker < run.end), marker)
        over = any(rules.handoff(messages[i].content) for i in range(start, marker + 1))
        return marker, EndReason.HANDOFF if over else EndReason.COMPLETED
    asks = rules.asks[task]
    handoff = next(
        (
            i
            for i in expert
            if rules.handoff(messages[i].content) and _asks_no_more(messages, expert, i, asks)
        ),
        None,
    )
    if handoff is not None:
        return handoff, EndReason.HANDOFF
    if rules.require_marker:
        return None, EndReason.ABANDONED
    action = next((i for i in expert if rules.action(messages[i].content)), None)
    if action is not None:
        return action, EndReason.COMPLETED
    if any(messages[i].author == "policy" for i in marked):
        return None, EndReason.COMPLETED
    last = max(i for i, message in enumerate(messages) if message.content)
    if rules.has_actions or messages[last].role == "user":
        return None, EndReason.ABANDONED
    return _quiet_end(messages, runs, asks)


def has_question_mark(text: str) -> bool:
    return "?" in text or (not text.isascii() and any(mark in text for mark in QUESTION_MARKS))


def _asks_no_more(messages: Sequence[LogMessage], expert: Sequence[int], index: int, asks: Search) -> bool:
    """Neither a field at `index` ("I connect you, all right?" asks for none) nor anything later."""
    text = messages[index].content
    if has_question_mark(text) and asks(text):
        return False
    later = (messages[i].content for i in expert if i > index)
    return not any(has_question_mark(text) or asks(text) for text in later)


def _quiet_end(messages: Sequence[LogMessage], runs: Sequence[MessageRun], asks: Search) -> Ending:
    act = None
    for run in reversed(runs):
        text = "\n".join(message.content for message in messages[run.start : run.end])
        if has_question_mark(text) or asks(text):
            break
        act = run.start
    return act, EndReason.COMPLETED if act is not None else EndReason.ABANDONED
