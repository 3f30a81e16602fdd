"""Makes logs of records: one session for each conversation, with the outcomes that were reported of it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class ServedLogs:
    """Sessions in the format of logs, how many of them have an outcome, how many a message of an expert, and outcomes
    that were left out.

    `unknown` belong to no recorded conversation, and `ambiguous` to an id that several conversations have.
    """

    sessions: list[Any]
    with_outcomes: int
    with_experts: int
    unknown: int
    ambiguous: int


def served_logs(lines: Iterable[Any]) -> ServedLogs:
    """Return the sessions of records, which may come in any order and from several gateways.

    A conversation that several gateways have recorded is the session with most messages. Of contradicting outcomes the
    first one counts, as at the gateway.
    """
    conversations: dict[str, list[Any]] = {}
    outcomes: dict[str, dict[str, str | float]] = {}
    reports = []
    for line in lines:
        if "outcome" in line:
            reports.append(line)
        else:
            conversations.setdefault(_name(line), []).append(line)
    for report in sorted(reports, key=lambda report: str(report.get("time", ""))):
        outcomes.setdefault(report["conversation"], {}).setdefault(report["outcome"], report["value"])
    found = {name: _whole(records) for name, records in conversations.items()}
    for name, records in found.items():
        if name in outcomes and len(records) == 1:
            records[0] = {**records[0], "outcomes": outcomes[name]}
    return ServedLogs(
        sessions=[record for records in found.values() for record in records],
        with_outcomes=sum(name in outcomes and len(records) == 1 for name, records in found.items()),
        with_experts=sum(
            any(message["author"] == "expert" for message in record["messages"])
            for records in found.values()
            for record in records
        ),
        unknown=sum(len(own) for name, own in outcomes.items() if name not in found),
        ambiguous=sum(len(own) for name, own in outcomes.items() if len(found.get(name, ())) > 1),
    )


def _name(record: Any) -> str:
    """Return the id of a conversation, which the session's id begins with."""
    return str(record["session_id"].rpartition("/")[0])


def _whole(records: list[Any]) -> list[Any]:
    """Return the records whose messages are not the beginning of another one's."""
    whole: list[Any] = []
    for record in sorted(records, key=lambda record: -len(record["messages"])):
        said = record["messages"]
        if not any(other["messages"][: len(said)] == said for other in whole):
            whole.append(record)
    return whole
