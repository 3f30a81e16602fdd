"""Parse the lines of a sample into sessions, without a pack."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from learntoask.core.documents.strict_json import NotParsed, RepeatedKey, parse_json
from learntoask.core.manifest import Dataset
from learntoask.core.pack import InformationField, Pack, Roles, Task
from learntoask.induction.reading.roles import FoundRoles
from learntoask.labeling.logs.duplicates import text_bytes
from learntoask.labeling.logs.lines import LogLine
from learntoask.labeling.logs.parsing import LogFormat, LogSession, parse_session
from learntoask.labeling.logs.quarantine import Rejected


@dataclass(frozen=True)
class ReadSessions:
    """The sessions of a sample, and how many lines are none: by reason, or copies of other sessions.

    `examples` has the first line that was rejected for each reason, with what is wrong and what to do.
    """

    sessions: tuple[LogSession, ...]
    rejected: dict[str, int]
    examples: dict[str, str]
    copies: int

    def why_rejected(self) -> str:
        """Return how many lines are no sessions and why, the commonest reason first; empty if there are none."""
        ordered = sorted(self.rejected.items(), key=lambda entry: (-entry[1], entry[0]))
        return "; ".join(f"{count} {reason}, such as {self.examples[reason]}" for reason, count in ordered)


def json_objects(lines: Iterable[LogLine]) -> list[dict[str, Any]]:
    """Return the lines that are JSON objects, as they are."""
    found = []
    for line in lines:
        try:
            value = parse_json(line.text)
        except (NotParsed, RepeatedKey, UnicodeDecodeError):
            continue
        if isinstance(value, dict):
            found.append(value)
    return found


def read_sessions(lines: Sequence[LogLine], roles: FoundRoles, *, uri: str) -> ReadSessions:
    """Return the sessions of the lines by the log format, each of several equal ones once."""
    form = LogFormat.of(provisional_pack(roles), Dataset(uri=uri))
    sessions: list[LogSession] = []
    rejected: dict[str, int] = {}
    examples: dict[str, str] = {}
    seen: set[bytes] = set()
    copies = 0
    for line in lines:
        try:
            session = parse_session(line, form)
        except Rejected as rejection:
            reason = rejection.reason.value
            rejected[reason] = rejected.get(reason, 0) + 1
            examples.setdefault(reason, f"line {line.number}: {rejection}")
            continue
        text = text_bytes(message.content for message in session.messages)
        copies += text in seen
        if text not in seen:
            sessions.append(session)
        seen.add(text)
    return ReadSessions(tuple(sessions), rejected, examples, copies)


def provisional_pack(roles: FoundRoles, language: str = "en") -> Pack:
    """Return a pack that knows nothing but the roles and the language of the logs, to read them with."""
    return Pack(
        name="logs",
        language=language,
        roles=Roles(user_aliases=roles.user, expert_aliases=roles.expert),
        end_markers=(),
        task_from=(),
        tasks=(Task(name="default", fields=(InformationField(name="anything"),)),),
    )
