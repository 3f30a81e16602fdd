"""Decide how a session ended and in which message the expert acts (docs/method.md).

The first of these rules that applies decides:

1. The expert wrote an end marker: the expert acts in the first message that has one. It is a hand-over if a message of
   that turn, up to there, matches the hand-over patterns.
2. A message matches the hand-over patterns and the expert asks nothing in it or later: hand-over. ("I will pass it on.
   How old?" is no hand-over.)
3. The pack requires an end marker: abandoned.
4. A message matches the action patterns: the expert acts in the first such message.
5. A policy wrote the stop: completed, but no act of an expert to learn from.
6. The pack has action patterns, or the last message is the user's: abandoned.
7. The last turns ask nothing: the expert acts in the first of them. If the last turn asks something: abandoned.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from learntoask.core.pack import Pack
from learntoask.core.records import EndReason
from learntoask.core.text.patterns import Search
from learntoask.core.text.sentences import has_question_mark
from learntoask.labeling.logs.parsing import LogMessage
from learntoask.labeling.logs.patterns import any_of

Ending = tuple[int | None, EndReason]
"""The index of the message in which the expert acts (None if there is none), and how the session ended."""


@dataclass(frozen=True, slots=True)
class MessageRun:
    """The messages [start, end) of one expert turn."""

    start: int
    end: int


@dataclass(frozen=True)
class EndingRules:
    """The pack's rules about the end of a session, with compiled patterns."""

    require_marker: bool
    action: Search
    has_actions: bool
    handoff: Search
    asks: dict[str, Search]  # by task: a search for a question about one of its fields

    @classmethod
    def of(cls, pack: Pack) -> EndingRules:
        return cls(
            require_marker=pack.require_end_marker,
            action=any_of(pack.action_patterns),
            has_actions=bool(pack.action_patterns),
            handoff=any_of(pack.handoff_patterns),
            asks={
                task.name: any_of(tuple(pattern for field in task.fields for pattern in field.patterns))
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
    """Apply the rules of this module. `messages` are stripped of markers; `marked` are the indices that had one."""
    expert = [i for i, message in enumerate(messages) if message.author == "expert"]
    marker = next((i for i in marked if messages[i].author == "expert"), None)
    if marker is not None:
        start = next((run.start for run in runs if run.start <= marker < run.end), marker)
        handed_over = any(rules.handoff(messages[i].content) for i in range(start, marker + 1))
        return marker, EndReason.HANDOFF if handed_over else EndReason.COMPLETED
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


def _asks_no_more(messages: Sequence[LogMessage], expert: Sequence[int], index: int, asks: Search) -> bool:
    """Whether the expert asks for no field at `index` ("I connect you, all right?" does not) and asks nothing later."""
    text = messages[index].content
    if has_question_mark(text) and asks(text):
        return False
    later = (messages[i].content for i in expert if i > index)
    return not any(has_question_mark(text) or asks(text) for text in later)


def _quiet_end(messages: Sequence[LogMessage], runs: Sequence[MessageRun], asks: Search) -> Ending:
    """Apply rule 7."""
    act = None
    for run in reversed(runs):
        text = "\n".join(message.content for message in messages[run.start : run.end])
        if has_question_mark(text) or asks(text):
            break
        act = run.start
    return act, EndReason.COMPLETED if act is not None else EndReason.ABANDONED
