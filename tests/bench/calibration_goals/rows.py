"""The rows of the table of goals."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Options:
    """`repetitions` is the number of simulated reviews or resamples; `errors` are the reviewers' error rates.

    `encoder` is that of the graders. `policy` asks for trainings, which take long.
    """

    repetitions: int
    seed: int
    errors: tuple[float, ...]
    encoder: str = "hashing"
    quick: bool = False
    policy: bool = False


@dataclass(frozen=True)
class Row:
    """A measured figure. `held` is whether the goal is reached; None for a figure that is shown for comparison."""

    goal: int
    data: str
    what: str
    reached: str
    required: str = ""
    held: bool | None = None

    def line(self) -> str:
        """Return the row as a line of the table."""
        mark = {True: "yes", False: "NO", None: "–"}[self.held]
        return f"{self.goal}  {self.data:22} {self.what:85} {self.reached:56} {self.required:9} {mark}"


HEADING = f"#  {'data':22} {'what':85} {'reached':56} {'required':9} held"


def table(rows: Iterable[Row]) -> str:
    """Return the table of rows."""
    return "\n".join([HEADING, *(row.line() for row in rows)])
