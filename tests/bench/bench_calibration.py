"""Measure the goals of calibration on SGD and on the pharmacy example, with gold items in place of people.

    python tests/bench/bench_calibration.py [--goal 1 2 3 4 5 8] [--data sgd pharmacy] [--quick] [--check] [--seed 0]
        [--policy]

Reviewers are simulated: they give the gold answer, or with an error rate of 0, 5 or 10 % get one choice wrong. A goal
is checked where reviewers make no errors, except for false passes and placebo revisions, which are checked always.
`--quick` runs a tenth of the repetitions, with reviewers without errors and the encoder `hashing`. `--check` exits
with 1 if a goal is not held. `--policy` also trains policies for goal 4, which takes half an hour.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator, Sequence

from calibration_goals import (
    corrected,
    gate,
    lost_patterns,
    revisions,
    stage_gate,
    whole_stage,
    wrong_labels,
)
from calibration_goals.domains import DATA, Domain, pharmacy, sgd
from calibration_goals.rows import HEADING, Options, Row

GOALS: dict[int, Sequence[Callable[[Sequence[Domain], Options], Iterator[Row]]]] = {
    1: (gate.run, stage_gate.run),
    2: (corrected.run,),
    3: (lost_patterns.run,),
    4: (wrong_labels.run,),
    5: (revisions.run,),
    8: (whole_stage.run,),
}
_OF_QUESTIONS = (1, 2, 5)  # goals that simulate reviews of graded questions; the others run the stages
_REPETITIONS = 1000


def main() -> int:
    """Run the goals, print their table, and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--goal", type=int, nargs="+", choices=sorted(GOALS), default=sorted(GOALS))
    parser.add_argument("--data", nargs="+", choices=("sgd", "pharmacy"), default=["sgd", "pharmacy"])
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--policy", action="store_true", help="train policies for goal 4")
    parser.add_argument("--encoder", choices=("minilm", "hashing"))
    options = parser.parse_args()
    encoder = options.encoder or ("hashing" if options.quick else "minilm")
    graded = any(goal in options.goal for goal in _OF_QUESTIONS)
    domains = []
    if "sgd" in options.data and (DATA / "test.jsonl").exists():
        domains.append(sgd(encoder) if graded else Domain(name="SGD"))
    elif "sgd" in options.data:
        print(f"without SGD: {DATA} does not exist (set LTA_DATA)", file=sys.stderr)
    if "pharmacy" in options.data:
        domains.append(pharmacy() if graded else Domain(name="pharmacy"))
    settings = Options(
        repetitions=_REPETITIONS // (10 if options.quick else 1),
        seed=options.seed,
        encoder=encoder,
        quick=options.quick,
        policy=options.policy,
        errors=(0.0,) if options.quick else (0.0, 0.05, 0.1),
    )
    short = 0
    print(HEADING)
    for goal in options.goal:
        start = time.monotonic()
        for row in (row for run in GOALS[goal] for row in run(domains, settings)):
            print(row.line(), flush=True)
            short += row.held is False
        print(f"goal {goal}: {time.monotonic() - start:.0f} s", file=sys.stderr, flush=True)
    return int(options.check and short > 0)


if __name__ == "__main__":
    raise SystemExit(main())
