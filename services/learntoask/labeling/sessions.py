"""From a log session to decision points: expert turns, stripped end markers, how it ended, the one stop.

The rules (design page 1, §2), where the page leaves a choice:

- A turn is a run of consecutive assistant messages. A run in which a policy wrote too is context: the expert did not
  decide on that context alone.
- The session's stop is its first act: an end marker, a hand-over, or (only where the log has no marker) a match of the
  pack's action patterns. What follows the act is no decision point.
- Without any of these the session is abandoned when the pack requires a marker, has action patterns, the user has
  the last word, or the expert's last turn still asks. Else the expert acted in the first turn of the final stretch that
  asks nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from learntoask.core.pack import Pack
from learntoask.core.records import STOP, EndReason, Message, Session, Turn
from learntoask.labeling.parsing import LogSession
from learntoask.labeling.patterns import Search, any_of
from learntoask.labeling.quarantine import Reason, Rejected


@dataclass(frozen=True)
class Rules:
    """The pack's rules about sessions, compiled."""

    markers: tuple[str, ...]
    require_marker: bool
    action: Search
    has_actions: bool
    handoff: Search
    excluded: Search
    asks: dict[str, Search]  # per task: does a text ask for one of its fields

    @classmethod
    def of(cls, pack: Pack) -> Rules:
        return cls(
            # The model's own stop string is stripped whatever the pack says: served conversations come back as logs.
            markers=tuple(sorted({*pack.end_markers, STOP} - {""}, key=len, reverse=True)),
            require_marker=pack.require_end_marker,
            action=any_of(pack.action_patterns),
            has_actions=bool(pack.action_patterns),
            handoff=any_of(pack.handoff_patterns),
            excluded=any_of(pack.exclusions),
            asks={
                task.name: any_of(tuple(pattern for one in task.fields for pattern in one.patterns))
                for task in pack.tasks
            },
        )


@dataclass(frozen=True, slots=True)
class Run:
    """Consecutive messages of the assistant."""

    start: int
    end: int
    by_expert: bool  # all of them


def build_session(log: LogSession, rules: Rules) -> tuple[Session, int]:
    """The session (its split still `train`) and how many acts of the expert the log holds.

    Raises Rejected where the log holds no decision point.
    """
    if any(rules.excluded(message.content) for message in log.messages):
        raise Rejected(
            Reason.EXCLUDED,
            "messages",
            "a message matches the pack's exclusions",
            "nothing to do, if intended",
        )
    contents = tuple(strip_markers(message.content, rules.markers) for message in log.messages)
    marked = frozenset(
        index for index, message in enumerate(log.messages) if contents[index] is not message.content
    )
    runs = _runs(log.messages)
    first_user = next(
        (i for i, message in enumerate(log.messages) if message.role == "user" and contents[i]), None
    )
    if first_user is None:
        raise Rejected(
            Reason.NO_USER_MESSAGE,
            "messages",
            "only the assistant speaks",
            "export the user's messages too, or check the role words",
        )
    turns = [run for run in runs if run.by_expert and run.start > first_user]
    if not turns:
        raise Rejected(
            Reason.NO_EXPERT_TURN,
            "messages",
            "no expert answers a user message",
            "nothing can be learned from this session; leave it out",
        )
    expert_acts = [i for i in marked if log.messages[i].author == "expert"]
    words = any(contents[i] for run in turns for i in range(run.start, run.end))
    if len(expert_acts) > 1 and not words:
        raise Rejected(
            Reason.ONLY_STOPS,
            "messages",
            f"all {len(expert_acts)} expert messages are end markers",
            "export what the expert said, or keep one marker",
        )
    messages = tuple(
        Message.model_construct(role=message.role, content=content, author=message.author)
        if index in marked
        else message
        for index, (message, content) in enumerate(zip(log.messages, contents, strict=True))
    )
    act, end = _ending(messages, turns, marked=marked, rules=rules, asks=rules.asks[log.task])
    if act is not None:
        turns = [run for run in turns if run.start <= act]
    stop = len(turns) - 1 if act is not None and turns and turns[-1].start <= act < turns[-1].end else None
    if not turns:
        raise Rejected(
            Reason.NO_EXPERT_TURN,
            "messages",
            "the expert acts before the user has said anything",
            "nothing can be learned from this session; leave it out",
        )
    session = Session.model_construct(
        session_id=log.session_id,
        split="train",
        task=log.task,
        goal=log.goal,
        messages=messages,
        turns=tuple(_turn(run, messages) for run in turns),
        end=end,
        stop_turn=stop,
        extras=log.extras,
    )
    return session, len(expert_acts)


def strip_markers(content: str, markers: Sequence[str]) -> str:
    """`content` itself if no marker is in it; else without them, white space at its ends removed.

    Repeated, since what is left of two markers may be a third.
    """
    stripped = content
    while any(marker in stripped for marker in markers):
        for marker in markers:
            stripped = stripped.replace(marker, "")
    return content if stripped is content else stripped.strip()


def _runs(messages: Sequence[Message]) -> list[Run]:
    runs = []
    index = 0
    for role, group in groupby(messages, key=lambda message: message.role):
        authors = [message.author for message in group]
        if role == "assistant":
            runs.append(Run(index, index + len(authors), all(author == "expert" for author in authors)))
        index += len(authors)
    return runs


def _ending(
    messages: Sequence[Message],
    turns: Sequence[Run],
    *,
    marked: frozenset[int],
    rules: Rules,
    asks: Search,
) -> tuple[int | None, EndReason]:
    """Index of the message in which the expert acts, if one does, and how the session ended."""
    expert = [i for i, message in enumerate(messages) if message.author == "expert"]
    handoff = next((i for i in expert if rules.handoff(messages[i].content)), None)
    marker = next((i for i in expert if i in marked), None)
    if handoff is not None and (marker is None or handoff <= marker):
        return handoff, EndReason.HANDOFF
    if marker is not None:
        return marker, EndReason.COMPLETED
    if rules.require_marker:
        return None, EndReason.ABANDONED
    action = next((i for i in expert if rules.action(messages[i].content)), None)
    if action is not None:
        return action, EndReason.COMPLETED
    if any(messages[i].author == "policy" for i in marked):
        return None, EndReason.COMPLETED  # the policy ended it; no act of an expert to learn from
    last = max(i for i, message in enumerate(messages) if message.content)
    if rules.has_actions or messages[last].role == "user":
        return None, EndReason.ABANDONED
    return _quiet_end(messages, turns, asks)


def _quiet_end(
    messages: Sequence[Message], turns: Sequence[Run], asks: Search
) -> tuple[int | None, EndReason]:
    act = None
    for run in reversed(turns):
        text = "\n".join(message.content for message in messages[run.start : run.end])
        if has_question_mark(text) or asks(text):
            break
        act = run.start
    return act, EndReason.COMPLETED if act is not None else EndReason.ABANDONED


def has_question_mark(text: str) -> bool:
    """Also the full-width, Arabic and Greek marks."""
    return "?" in text or (not text.isascii() and any(mark in text for mark in "\uff1f\u061f\u037e"))


def _turn(run: Run, messages: Sequence[Message]) -> Turn:
    silent = not any(message.content for message in messages[run.start : run.end])
    return Turn.model_construct(start=run.start, end=run.start if silent else run.end)
