"""Find the keys of sessions that could name a task."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

from learntoask.labeling.logs.parsing import LogSession

_DEPTH = 3  # levels of nested objects that are looked into
_FEWEST = 5  # sessions per value, on average
_MOST_VALUES = 200
_COVERAGE = 0.9  # share of the sessions that have the key

Values = tuple[str | None, ...]
"""The value of a key in each session."""


def candidate_keys(sessions: Sequence[LogSession]) -> dict[str, Values]:
    """Return the dotted paths whose values repeat, with their value in each session."""
    found: dict[str, dict[int, str]] = defaultdict(dict)
    for index, session in enumerate(sessions):
        for path, value in scalars(session).items():
            found[path][index] = value
    kept = {}
    for path, values in found.items():
        different = len(set(values.values()))
        if (
            2 <= different <= min(_MOST_VALUES, len(sessions) / _FEWEST)
            and len(values) >= _COVERAGE * len(sessions)
            and Counter(values.values()).most_common(1)[0][1] < len(values)
        ):
            kept[path] = tuple(values.get(index) for index in range(len(sessions)))
    return kept


def scalars(session: LogSession) -> dict[str, str]:
    """Return the texts and integers of a session outside its messages, by their dotted path."""
    found = dict(_scalars(session.extras, ""))
    if session.goal:
        found["goal"] = session.goal
    return found


def _scalars(value: dict[str, Any], prefix: str, depth: int = 1) -> Iterator[tuple[str, str]]:
    for key, inner in value.items():
        path = f"{prefix}{key}"
        if "." in key or path == "messages":
            continue  # a dotted path cannot name such a key
        if isinstance(inner, dict) and depth < _DEPTH:
            yield from _scalars(inner, f"{path}.", depth + 1)
        elif isinstance(inner, str | int) and inner != "" and not isinstance(inner, bool):
            yield path, str(inner)
