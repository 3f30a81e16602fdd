"""Measure the goals of the gateway and of its rollouts, with policy servers that decode nothing.

    python tests/bench/bench_gateway.py [--goal 4 5 8] [--quick] [--check]

Servers, gateways and this driver are processes of one machine. Goal 4 measures goal 6, too: how soon a rollback is
followed; that an operator that is killed decides the same is a test (tests/component/operator/test_trial.py).
`--quick` takes about a minute of processor time. `--check` exits with 1 if a goal is not held.
"""

from __future__ import annotations

import argparse
import sys
import time

from calibration_goals.rows import HEADING
from gateway_goals import copies, cost, pinning

GOALS = {4: pinning.rows, 5: copies.rows, 8: cost.rows}


def main() -> int:
    """Run the goals, print their table, and return the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--goal", type=int, nargs="+", choices=sorted(GOALS), default=sorted(GOALS))
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args()
    short = 0
    print(HEADING)
    for goal in options.goal:
        start = time.monotonic()
        for row in GOALS[goal](quick=options.quick):
            print(row.line(), flush=True)
            short += row.held is False
        print(f"goal {goal}: {time.monotonic() - start:.0f} s", file=sys.stderr, flush=True)
    return int(options.check and short > 0)


if __name__ == "__main__":
    raise SystemExit(main())
