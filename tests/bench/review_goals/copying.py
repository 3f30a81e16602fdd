"""Goal 7: a reviewer who copies the machine is flagged within 60 items, and a careful one over 120 is not.

Somebody looks after every answer. tests/unit/review/test_flags.py measures the same with fewer reviewers.
"""

from __future__ import annotations

import statistics
from collections import Counter

from calibration_goals.rows import Row
from worlds.review_items import Truth
from worlds.review_people import Person, careful, copies, first_flag, yields

from review_goals.options import Options

_REVIEWERS, _ITEMS, _WHOLE_QUEUE = 200, 60, 120
_ERRORS = (0.0, 0.05, 0.1)
_FOUND, _WRONGLY = 0.95, 0.05  # shares of the reviewers who are flagged: at least, at most


def run(options: Options) -> list[Row]:
    """Return the rows of reviewers who copy from the start or yield to the votes, and of careful ones."""
    count = _REVIEWERS // (10 if options.quick else 1)
    found: list[Row] = []
    for name, person in (("copies the machine blind", copies), ("always yields to the votes", yields)):
        flagged = [number for number, _ in _flags(person, count, _ITEMS, options.seed)]
        when = f"after {statistics.median(flagged):.0f} items (median), {max(flagged)}" if flagged else "–"
        found.append(
            Row(
                goal=7,
                data="flags",
                what=f"flagged of {count} reviewers each of whom {name}",
                reached=f"{len(flagged)}, {when}",
                required=f"{_FOUND:.0%} by {_ITEMS}",
                held=len(flagged) >= _FOUND * count,
            )
        )
    for error in _ERRORS:
        kinds = Counter(kind for _, kind in _flags(careful(error), count, _WHOLE_QUEUE, options.seed))
        found.append(
            Row(
                goal=7,
                data="flags",
                what=f"flagged of {count} careful reviewers with {error:.0%} errors, {_WHOLE_QUEUE} items",
                reached=f"{kinds.total() / count:.1%} "
                + ", ".join(f"{kind} {n}" for kind, n in kinds.most_common()),
                required=f"≤ {_WRONGLY:.0%}",
                held=kinds.total() <= _WRONGLY * count,
            )
        )
    return found


def _flags(person: Person, count: int, questions: int, seed: int) -> list[tuple[int, str]]:
    """Return after how many items each reviewer who is flagged is flagged, and for what."""
    each = [
        first_flag(
            Truth(4 * _ITEMS, known=10, seed=seed + number), person, questions=questions, seed=seed + number
        )
        for number in range(count)
    ]
    return [flagged for flagged in each if flagged]
