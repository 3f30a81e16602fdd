"""Measure the goals of the review queue: nothing is lost or doubled, and the page is quick.

    python tests/bench/bench_review_queue.py [--goal 6 7] [--storage folder minio] [--quick] [--check] [--seed 0]

Goal 6: 50 clients answer 10,000 items over HTTP while the server is killed 20 times at random (`--quick`: a tenth of
the items and of the kills). Goal 7: a simulated person answers 120 items in Chromium by keyboard, and simulated
reviewers copy the machine or do not. `--check` exits with 1 if a goal is not held.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from calibration_goals.rows import HEADING, Row
from review_goals import copying, durability, page
from review_goals.options import Options


def _page_goal(options: Options) -> list[Row]:
    return [*page.run(options), *copying.run(options)]


GOALS: dict[int, Callable[[Options], list[Row]]] = {6: durability.run, 7: _page_goal}


def main() -> int:
    """Run the goals, print their table, and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--goal", type=int, nargs="+", choices=sorted(GOALS), default=sorted(GOALS))
    parser.add_argument("--storage", nargs="+", choices=("folder", "minio"), default=("folder", "minio"))
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--seed", type=int, default=0)
    parsed = parser.parse_args()
    options = Options(quick=parsed.quick, seed=parsed.seed, storages=tuple(parsed.storage))
    rows: list[Row] = []
    for goal in parsed.goal:
        start = time.monotonic()
        rows += GOALS[goal](options)
        print(f"goal {goal}: {time.monotonic() - start:.0f} s", file=sys.stderr, flush=True)
    print(HEADING)
    for row in rows:
        print(row.line())
    return int(parsed.check and any(row.held is False for row in rows))


if __name__ == "__main__":
    raise SystemExit(main())
