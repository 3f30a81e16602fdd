"""A session of five turns with findings, items and answers, for tests of the calibration."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from learntoask.calibration.answers import Answered
from learntoask.calibration.draw.findings import GRADERS, LABELLER, Finding
from learntoask.calibration.labels.sessions import LabelledLog, Replies
from learntoask.core.pack import Pack
from learntoask.core.records import LabelledSession, Session
from learntoask.review.records import Choice, Origin, ReviewItem

PACK = Pack.model_validate(
    {
        "name": "clinic",
        "tasks": [
            {
                "name": "visit",
                "fields": [
                    {"name": "age", "patterns": [r"\bage\b"]},
                    {"name": "duration", "patterns": [r"\bhow long\b"]},
                    {"name": "allergies", "patterns": [r"\ballerg"]},
                ],
            }
        ],
    }
)
ASKED = ("What is your age?", "How long has it hurt?", "Any allergies?", "")
REPLIES = ("forty", "two days", "to nuts")


def labelled_log(
    *,
    samples: Iterable[Mapping[str, Any]] | None = None,
    answers: Iterable[Mapping[str, Any]] | None = None,
    stop: int | None = 3,
    log_stop: int | None = 3,
    session_id: str = "s1",
    split: str = "train",
) -> LabelledLog:
    """A session in which age, duration and allergies are asked for and given, and then the expert acts in silence.

    `samples` replace the right labels, `stop` is the published stop and `log_stop` that of the log.
    """
    messages = [{"role": "user", "content": "It hurts.", "author": "user"}]
    turns = []
    for question, reply in zip(ASKED, (*REPLIES, None), strict=True):
        start = len(messages)
        messages.append({"role": "assistant", "content": question, "author": "expert"})
        turns.append({"start": start, "end": start + 1 if question else start})
        if reply is not None:
            messages.append({"role": "user", "content": reply, "author": "user"})
    session = {
        "session_id": session_id,
        "split": split,
        "task": "visit",
        "messages": messages,
        "turns": turns,
        "end": "completed" if log_stop is not None else "abandoned",
        "stop_turn": log_stop,
    }
    right = [
        sample(0, ["age", "duration", "allergies"], "age"),
        sample(1, ["duration", "allergies"], "duration"),
        sample(2, ["allergies"], "allergies"),
        sample(3),
    ]
    given = [
        {"field": "age", "value": "forty", "message": 2},
        {"field": "duration", "value": "two days", "message": 4},
        {"field": "allergies", "value": "to nuts", "message": 6},
    ]
    published = {
        **session,
        "turns": turns if stop is None else turns[: stop + 1],
        "stop_turn": stop,
        "end": "completed" if stop is not None else "abandoned",
    }
    labelled = LabelledSession.model_validate(
        {
            "session": published,
            "samples": list(samples) if samples is not None else right,
            "answers": list(answers) if answers is not None else given,
        }
    )
    return LabelledLog(labelled, Session.model_validate(session), Replies.of(PACK))


def sample(turn: int, fields: Iterable[str] = (), requested: str | None = None) -> dict[str, Any]:
    """A sample that continues with `fields`, or a stop without any."""
    remaining = [{"field": name, "value": ""} for name in fields]
    return {
        "turn": turn,
        "decision": "continue" if remaining else "stop",
        "remaining": remaining,
        "requested": [requested] if requested else [],
        "provenance": {"labeller": "lexicon"},
    }


def findings_of(
    log: LabelledLog, found: Iterable[Iterable[str]] = (("age",), ("duration",), ("allergies",))
) -> list[Finding]:
    """The same finding by all judges at each turn with words."""
    return [
        Finding(
            session_id=log.session_id,
            split=log.log.split,
            task="visit",
            turn=turn,
            text=ASKED[turn],
            question=True,
            asks={judge: tuple(fields) for judge in (LABELLER, *GRADERS)},
        )
        for turn, fields in enumerate(found)
    ]


def answered(
    kind: str,
    turn: int,
    said: Mapping[str, bool],
    *,
    session_id: str = "s1",
    split: str = "show",
    stratum: str = "s",
    inclusion: float = 1.0,
) -> Answered:
    """An item with what people agree on."""
    return Answered(
        item=review_item(
            kind, turn, session_id=session_id, split=split, stratum=stratum, inclusion=inclusion
        ),
        digest=f"{session_id}:{turn}:{kind}",
        by_reviewer={"ada": tuple(sorted(key for key, yes in said.items() if yes))},
        keys=dict(said),
    )


def review_item(
    kind: str,
    turn: int,
    *,
    session_id: str = "s1",
    split: str = "show",
    stratum: str = "s",
    inclusion: float = 1.0,
    **more: Any,
) -> ReviewItem:
    keys = ("yes", "no") if kind == "is_stop" else ("age", "duration", "allergies")
    return ReviewItem.model_validate(
        {
            "kind": kind,
            "task": "visit",
            "question": "?",
            "messages": (),
            "start": 0,
            "end": 0,
            "choices": [Choice(key=key, text=key).model_dump() for key in keys],
            "several": kind != "is_stop",
            "origin": Origin(
                run="r", stage="label", output="o", session_id=session_id, turn=turn
            ).model_dump(),
            "stratum": stratum,
            "inclusion": inclusion,
            "split": split,
            "why": "audit",
            **more,
        }
    )
