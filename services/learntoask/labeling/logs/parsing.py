"""Check one line of a log against the log format, and return its session as logged.

`parse_session` applies the rules in the order of this module and raises Rejected at the first that the line breaks.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

from pydantic import JsonValue

from learntoask.core.documents.strict_json import NotParsed, RepeatedKey, parse_json
from learntoask.core.manifest import Dataset
from learntoask.core.pack import Pack, folded_role
from learntoask.core.records import Author, Role
from learntoask.core.text.characters import clean_text
from learntoask.core.text.html import text_of_html
from learntoask.labeling.logs.lines import LogLine
from learntoask.labeling.logs.quarantine import Reason, Rejected

LONGEST_GOAL = 2000  # characters; every prompt of the session contains the goal

_MESSAGE_KEYS = frozenset({"role", "content", "author"})
_AUTHORS: Mapping[Role, tuple[Author, ...]] = {"user": ("user",), "assistant": ("expert", "policy")}
_DEFAULT_AUTHOR: Mapping[Role, Author] = {"user": "user", "assistant": "expert"}


class LogMessage(NamedTuple):
    """A checked message. It is a tuple because logs hold millions of messages."""

    role: Role
    content: str
    author: Author


@dataclass(frozen=True, slots=True)
class LogSession:
    """A well-formed session as logged. Message contents are cleaned (core.text) and still hold their end markers."""

    session_id: str
    task: str
    goal: str | None
    messages: list[LogMessage]
    extras: dict[str, JsonValue]
    html_messages: int = 0  # messages that held HTML
    cleaned_messages: int = 0  # other messages with invisible or unusual characters


@dataclass(frozen=True)
class LogFormat:
    """The log format: the pack's names for roles and tasks, and the dataset's limits."""

    pack: Pack
    limits: Dataset
    roles: Mapping[str, Role]  # by lower-case role name, as logs write it
    task_paths: tuple[tuple[str, ...], ...]
    read_keys: frozenset[str]  # top-level keys that become fields of the session

    @classmethod
    def of(cls, pack: Pack, limits: Dataset) -> LogFormat:
        roles: dict[str, Role] = {"user": "user", "assistant": "assistant"}
        roles |= {folded_role(word): "assistant" for word in pack.roles.expert_aliases}
        roles |= {folded_role(word): "user" for word in pack.roles.user_aliases}
        keys = {"session_id", "messages", "goal", *(path for path in pack.task_from if "." not in path)}
        paths = tuple(tuple(path.split(".")) for path in pack.task_from)
        return cls(pack, limits, roles, paths, frozenset(keys))


def parse_session(line: LogLine, form: LogFormat) -> LogSession:
    """Return the session of a line. Raises Rejected with the reason, the key that is wrong, and a remedy."""
    log = _object(line, form.limits)
    raw_messages = log.get("messages")
    if not isinstance(raw_messages, list) or not raw_messages:
        raise Rejected(
            Reason.NO_MESSAGES,
            "messages",
            "a session needs a non-empty list of messages",
            'write "messages": [{"role": "user", "content": "…"}, …]',
        )
    if len(raw_messages) > form.limits.max_messages:
        raise Rejected(
            Reason.TOO_MANY_MESSAGES,
            "messages",
            f"{len(raw_messages)} messages are more than {form.limits.max_messages}",
            "split the session, or raise dataset.maxMessages",
        )
    session_id = _session_id(log)
    messages = [_message(raw, index, form) for index, raw in enumerate(raw_messages)]
    goal = log.get("goal")
    if goal is not None and (not isinstance(goal, str) or len(goal) > LONGEST_GOAL):
        problem = f"the goal is {_kind(goal)}"
        raise Rejected(Reason.WRONG_GOAL, "goal", problem, "write one sentence, or omit it")
    extras = {key: value for key, value in log.items() if key not in form.read_keys}
    if any(not _MESSAGE_KEYS.issuperset(raw) for raw in raw_messages):
        extras["messages"] = [
            {key: value for key, value in raw.items() if key not in _MESSAGE_KEYS} for raw in raw_messages
        ]
    html, cleaned = _changes(raw_messages, messages)
    return LogSession(session_id, _task(log, form), goal or None, messages, extras, html, cleaned)


def _changes(logged: Sequence[dict[str, Any]], messages: Sequence[LogMessage]) -> tuple[int, int]:
    """Return the number of messages that held HTML, and of others that were cleaned."""
    changed = [
        raw["content"]
        for raw, message in zip(logged, messages, strict=True)
        if raw["content"] is not message.content
    ]
    html = sum(text_of_html(content) != content for content in changed)
    return html, len(changed) - html


def _object(line: LogLine, limits: Dataset) -> dict[str, Any]:
    if line.too_long:
        raise Rejected(
            Reason.LINE_TOO_LONG,
            "",
            f"the line is longer than {limits.max_line_bytes} bytes",
            "write one session per line, or raise dataset.maxLineBytes",
        )
    try:
        line.text.decode("utf-8")
    except UnicodeDecodeError as error:
        remedy = "save the file as UTF-8"
        if line.text[:2] in (b"\xff\xfe", b"\xfe\xff"):
            remedy += " (this looks like UTF-16)"
        problem = f"byte {error.start + 1} of the line is not UTF-8"
        raise Rejected(Reason.INVALID_UTF8, "", problem, remedy) from error
    try:
        log = parse_json(line.text)
    except RepeatedKey as error:
        raise Rejected(Reason.DUPLICATE_KEY, "", str(error), "keep one of them") from error
    except NotParsed as error:
        problem = f"not valid JSON: {error}"
        raise Rejected(Reason.MALFORMED_JSON, "", problem, "write one JSON object per line") from error
    if not isinstance(log, dict):
        problem = f"a session is a JSON object, but this is {_kind(log)}"
        raise Rejected(Reason.NOT_A_SESSION, "", problem, "write one JSON object per line")
    return log


def _session_id(log: Mapping[str, Any]) -> str:
    value = log.get("session_id")
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if isinstance(value, str) and 0 < len(value) <= 1000:
        return value
    problem = "is missing" if value is None else f"is {_kind(value)}"
    remedy = "give every session a different text (at most 1000 characters)"
    raise Rejected(Reason.MISSING_SESSION_ID, "session_id", problem, remedy)


def _message(raw: object, index: int, form: LogFormat) -> LogMessage:
    if not isinstance(raw, dict):
        problem = f"a message is an object with role and content, but this is {_kind(raw)}"
        raise Rejected(
            Reason.WRONG_MESSAGE, f"messages[{index}]", problem, 'write {"role": "user", "content": "…"}'
        )
    word = raw.get("role")
    role = None
    if isinstance(word, str):
        role = form.roles.get(word) or form.roles.get(folded_role(word))
    if role is None:
        raise Rejected(
            Reason.WRONG_ROLE,
            f"messages[{index}].role",
            f"{word!r:.60} is not one of {', '.join(form.roles)}",
            "add this role to roles.userAliases or roles.expertAliases of the pack",
        )
    content = raw.get("content")
    if not isinstance(content, str):
        problem = f"the content is {_kind(content)}"
        raise Rejected(Reason.WRONG_MESSAGE, f"messages[{index}].content", problem, "write it as a string")
    text = clean_text(text_of_html(content))
    if not text or text.isspace():
        remedy = "remove the message or give it a text"
        raise Rejected(Reason.EMPTY_MESSAGE, f"messages[{index}].content", "the message is empty", remedy)
    limit = form.limits.max_message_bytes
    if len(content) * 4 > limit and (size := len(content.encode())) > limit:
        raise Rejected(
            Reason.MESSAGE_TOO_LONG,
            f"messages[{index}].content",
            f"{size} bytes are more than {limit}",
            "shorten the message, or raise dataset.maxMessageBytes",
        )
    author = raw.get("author")
    if author is None:
        author = _DEFAULT_AUTHOR[role]
    elif author not in _AUTHORS[role]:
        raise Rejected(
            Reason.WRONG_AUTHOR,
            f"messages[{index}].author",
            f"{author!r:.60} cannot have written a message of role {role}",
            f"write {' or '.join(_AUTHORS[role])}, or omit the key",
        )
    return LogMessage(role, text, cast(Author, author))


def _task(log: Mapping[str, Any], form: LogFormat) -> str:
    parts = [_at(log, path) for path in form.task_paths]
    named = [part for part in parts if part is not None]
    where = " and ".join(form.pack.task_from)
    known = form.pack.task_by_name
    if not named:
        default = form.pack.default_task
        if default is None:
            remedy = f"name one of {_some(known)}, or call one task of the pack `default`"
            raise Rejected(Reason.UNKNOWN_TASK, where, "the session names no task", remedy)
        return default
    name = "/".join(str(part) for part in named)
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1)
        remedy = f"did you mean {near[0]!r}?" if near else f"the pack has {_some(known)}"
        problem = f"task {name!r:.200} is not in pack {form.pack.name!r}"
        raise Rejected(Reason.UNKNOWN_TASK, where, problem, remedy)
    return name


def _at(value: Any, path: tuple[str, ...]) -> str | int | None:
    for key in path:
        value = value.get(key) if isinstance(value, dict) else None
    return value if isinstance(value, str | int) and value != "" else None


def _some(names: Mapping[str, object]) -> str:
    listed = sorted(names)
    return ", ".join(listed[:5]) + (f" and {len(listed) - 5} more" if len(listed) > 5 else "")


def _kind(value: object) -> str:
    if value is None:
        return "null or missing"
    kinds = {dict: "an object", list: "a list", str: "an empty or too long text", bool: "true or false"}
    return next((name for kind, name in kinds.items() if isinstance(value, kind)), "a number")
