"""The problems that `lta data check` lists: the same one on one line of the log is listed once, with how often."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field, replace

from learntoask.labeling.logs.quarantine import Reason

LISTED = 20  # problems that the report lists with their line; the counts hold all of them
_INDEX = re.compile(r"\d+")


@dataclass(frozen=True, slots=True)
class Problem:
    """A line of the log, or decision points on it, that a run would quarantine."""

    line: int  # from 1
    reason: str  # a code of quarantine.Reason
    field: str  # the key that is wrong, e.g. `messages[3].role`
    message: str  # of the first decision point
    times: int = 1  # decision points on this line with the same problem


@dataclass
class Problems:
    """Collects problems. Those of one line that differ only in the index of a turn or message are one."""

    _first: dict[tuple[int, str, str], Problem] = field(default_factory=dict)
    _times: Counter[tuple[int, str, str]] = field(default_factory=Counter)

    def add(self, line: int, reason: Reason, where: str, message: str) -> None:
        key = (line, reason.value, _INDEX.sub("#", message))
        if key not in self._first and len(self._first) == LISTED:
            return
        self._first.setdefault(key, Problem(line, reason.value, where, message))
        self._times[key] += 1

    def listed(self) -> tuple[Problem, ...]:
        """Return the first LISTED problems by line."""
        found = (replace(problem, times=self._times[key]) for key, problem in self._first.items())
        return tuple(sorted(found, key=lambda problem: problem.line))
