"""Quarantine: the reasons for refusing a log line or the label of a decision point, and the file that lists them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum

from learntoask.labeling.logs.lines import JsonLinesWriter

EXCERPT = (
    300  # characters of a refused line that the record quotes, enough for a person to recognise the line
)


class Reason(StrEnum):
    """The reason codes of quarantine.jsonl. They are stable, so that scripts can rely on them."""

    # reasons to refuse a line of the logs
    MALFORMED_JSON = "malformed-json"
    DUPLICATE_KEY = "duplicate-key"
    INVALID_UTF8 = "invalid-utf8"
    LINE_TOO_LONG = "line-too-long"
    NOT_A_SESSION = "not-a-session"
    MISSING_SESSION_ID = "missing-session-id"
    DUPLICATE_SESSION_ID = "duplicate-session-id"
    NO_MESSAGES = "no-messages"
    TOO_MANY_MESSAGES = "too-many-messages"
    WRONG_MESSAGE = "wrong-message"
    WRONG_ROLE = "wrong-role"
    WRONG_AUTHOR = "wrong-author"
    EMPTY_MESSAGE = "empty-message"
    MESSAGE_TOO_LONG = "message-too-long"
    WRONG_GOAL = "wrong-goal"
    UNKNOWN_TASK = "unknown-task"
    EXCLUDED = "excluded"
    NO_USER_MESSAGE = "no-user-message"
    NO_EXPERT_TURN = "no-expert-turn"
    ONLY_STOPS = "only-stops"
    NEAR_DUPLICATE_OF_TEST = "near-duplicate-of-test"
    # reasons to refuse the label of a decision point
    NO_ANNOTATIONS = "no-annotations"
    WRONG_ANNOTATION = "wrong-annotation"
    UNKNOWN_FIELD = "unknown-field"
    STOP_DISAGREES = "stop-disagrees"
    # reasons to refuse a label by a language model
    UNGROUNDED = "ungrounded"
    MODEL_REFUSED = "model-refused"
    ANSWER_CUT = "answer-cut"
    ANSWER_EMPTY = "answer-empty"
    ANSWER_NOT_JSON = "answer-not-json"
    ANSWER_WRONG_FORM = "answer-wrong-form"
    JUDGES_DISAGREE = "judges-disagree"
    REQUEST_DENIED = "request-denied"
    ENDPOINT_UNAVAILABLE = "endpoint-unavailable"
    # reasons to take a label out of training after people have reviewed labels
    REJECTED_BY_PEOPLE = "rejected-by-people"
    DOUBTED_LABEL = "doubted-label"


class Rejected(Exception):
    """A line cannot become a session. `where` is the key that is wrong, `remedy` says what the user can do."""

    def __init__(self, reason: Reason, where: str, problem: str, remedy: str) -> None:
        super().__init__(f"{where}: {problem}; {remedy}" if where else f"{problem}; {remedy}")
        self.reason = reason
        self.where = where


@dataclass
class Quarantine:
    """Writes records to quarantine.jsonl and counts them by reason."""

    writer: JsonLinesWriter
    counts: Counter[str] = field(default_factory=Counter)

    def line(
        self,
        *,
        source: str,
        number: int,
        reason: Reason,
        where: str,
        message: str,
        session_id: str | None = None,
        text: bytes = b"",
    ) -> None:
        """Record line `number` (from 1) of the file `source` (`dataset` or `test`)."""
        self.counts[reason.value] += 1
        self.writer.write_object(
            {
                "source": source,
                "line": number,
                "session_id": session_id,
                "reason": reason.value,
                "field": where,
                "message": message,
                "excerpt": text[: 4 * EXCERPT].decode("utf-8", "replace")[:EXCERPT],
            }
        )

    def sample(
        self, *, session_id: str, turn: int, message_index: int, reason: Reason, message: str, labeller: str
    ) -> None:
        """Record decision point `turn` of a session, whose expert turn starts at `message_index`."""
        self.counts[reason.value] += 1
        self.writer.write_object(
            {
                "session_id": session_id,
                "turn": turn,
                "message_index": message_index,
                "labeller": labeller,
                "reason": reason.value,
                "message": message,
            }
        )
