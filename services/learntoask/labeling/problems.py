"""The problems that `lta data check` lists: the same one on many lines of the log is listed once, with the lines.

Problems are the same if they differ only in numbers, such as the index of a message. Where one reason and field has
many different values, such as names of tasks, the first few are listed one by one and the rest together.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from learntoask.labeling.logs.quarantine import Reason

LISTED = 30  # problems that the report lists; the counts of a check hold all of them
_DIFFERENT = 3  # problems with the same reason and field that are listed one by one
_LINES = 5  # lines that are listed for each problem
_NUMBER = re.compile(r"\d+")


@dataclass(frozen=True, slots=True)
class Problem:
    """Lines of the log, or decision points on them, that a run would quarantine for the same reason."""

    line: int  # the first one, from 1
    reason: str  # a code of quarantine.Reason
    field: str  # the key that is wrong on the first line, e.g. `messages[3].role`
    message: str  # of the first decision point
    lines: int = 1  # lines with this problem
    times: int = 1  # lines or decision points with this problem
    first_lines: tuple[int, ...] = ()  # at most _LINES of them

    def __str__(self) -> str:
        where = f"line {self.line}: {self.reason}: {self.message}"
        if self.lines > 1:
            left = self.lines - len(self.first_lines)
            listed = ", ".join(map(str, self.first_lines[1:])) + (f" and {left} more" if left else "")
            return f"{where} (also in lines {listed}; {self.times} times in all)"
        return f"{where} ({self.times} times on this line)" if self.times > 1 else where


@dataclass
class _Group:
    reason: str
    where: str
    message: str
    times: int = 0
    count: int = 0  # lines
    first_lines: list[int] = field(default_factory=list)
    last_line: int = 0

    def add(self, line: int) -> None:
        self.times += 1
        if line != self.last_line:
            self.count += 1
            self.last_line = line
            if len(self.first_lines) < _LINES:
                self.first_lines.append(line)

    def problem(self) -> Problem:
        return Problem(
            line=self.first_lines[0],
            reason=self.reason,
            field=self.where,
            message=self.message,
            lines=self.count,
            times=self.times,
            first_lines=tuple(self.first_lines),
        )


@dataclass
class Problems:
    """Collects problems, line by line in the order of the file."""

    _groups: dict[tuple[str, str, str], _Group] = field(default_factory=dict)

    def add(self, line: int, reason: Reason, where: str, message: str) -> None:
        kind = (reason.value, _NUMBER.sub("#", where))
        key = (*kind, _NUMBER.sub("#", message))
        if key not in self._groups:
            if sum(other[:2] == kind for other in self._groups) >= _DIFFERENT:
                key, message = (*kind, ""), f"{message}. Others have other values"
            if key not in self._groups and len(self._groups) >= LISTED:
                return
            self._groups.setdefault(key, _Group(reason.value, where, message))
        self._groups[key].add(line)

    def listed(self) -> tuple[Problem, ...]:
        """Return the first LISTED problems, in the order of their first lines."""
        return tuple(
            sorted((group.problem() for group in self._groups.values()), key=lambda found: found.line)
        )
