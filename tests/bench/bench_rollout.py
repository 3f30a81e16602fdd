"""Measure the verdicts of rollouts on simulated conversations: error rates, speed, users who meet a bad policy.

    python tests/bench/bench_rollout.py [--goal 1 2 3 4 7] [--quick] [--check] [--seed 0]

The evidence is looked at after every conversation, in 2,000 rollouts at a time. At the conversation that decides, and
at the one before, the counts are given to the product's `decide`, which must roll back or promote there and not before.
`--quick` runs a tenth of the rollouts. `--check` exits with 1 if a goal is not held.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator

import numpy as np
from calibration_goals.rows import HEADING, Row
from learntoask.core.manifest.strategy import Guard, Shadow, Step, Strategy
from learntoask.core.status.rollout import MetricCounts, RolloutCounts, WeightCounts
from learntoask.rollout.decide import begin, decide
from learntoask.rollout.evidence import harm_limit, safe_limit
from learntoask.rollout.simulate import Quality, simulate
from learntoask.serving.rollout.events import EventReader
from learntoask.serving.rollout.ledger import Ledger
from learntoask.serving.rollout.traffic import Traffic
from learntoask.statistics.e_process import bernoulli_log_e
from learntoask.statistics.two_sample import Question, evidence_table
from learntoask.wire import ask_pb2 as wire
from numpy.typing import NDArray
from worlds.serving import PACK

Cells = NDArray[np.int64]
_METRIC = "abandoned"
_MARGIN = 0.05
_ALL_DAYS = 1e9


def strategy(weight: int, *, guards: int = 1) -> Strategy:
    """A canary of one weight, guarded by `guards` metrics."""
    names = (_METRIC, "repeatedQuestion", "repaired")[:guards]
    return Strategy.model_validate(
        {
            "mode": "canary",
            "steps": [{"weight": weight}],
            "guards": [{"metric": name, "margin": _MARGIN} for name in names],
            "minConversations": 1,
        }
    )


def conversations(
    *, weight: int, canary: float, control: float, runs: int, longest: int, random: np.random.Generator
) -> Cells:
    """Draw the cell of each conversation, [runs, longest]: 0 and 1 are the control's, 2 and 3 the canary's."""
    in_canary = random.random((runs, longest)) < weight / 100
    event = random.random((runs, longest)) < np.where(in_canary, canary, control)
    return 2 * in_canary + event


def crossings(cells: Cells, question: Question, *, weight: int, margin: float, limit: float) -> Cells:
    """Return the number of conversations after which the evidence first reaches `limit`, [runs]; 0 if it never does."""
    factors = np.exp(evidence_table(question, weight / 100, margin)).T
    found = np.zeros(len(cells), dtype=np.int64)
    left = np.arange(len(cells))
    wealth = np.ones((len(cells), len(factors)))
    for number in range(cells.shape[1]):
        wealth *= factors.T[cells[left, number]]
        reached = wealth.mean(axis=1) >= math.exp(limit)
        if reached.any():
            found[left[reached]] = number + 1
            left, wealth = left[~reached], wealth[~reached]
    return found


def counted(cells: Cells, weight: int) -> RolloutCounts:
    """Return the counts of some conversations of one rollout, [conversations]."""
    control, control_events, canary, canary_events = (int(n) for n in np.bincount(cells, minlength=4))
    control, canary = control + control_events, canary + canary_events
    metric = MetricCounts(
        metric=_METRIC,
        canary=canary,
        canary_events=canary_events,
        control=control,
        control_events=control_events,
    )
    born = {"canary_born": canary, "control_born": control, "canary_ended": canary, "control_ended": control}
    return RolloutCounts(weights=(WeightCounts(weight=weight, metrics=(metric,), **born),))


def agrees_with_decide(tried: Strategy, cells: Cells, at: Cells, verdict: str, *, most: int = 200) -> bool:
    """Whether `decide` reaches the verdict at the conversation of the crossing and not at the one before."""
    weight = tried.steps[0].weight
    for run in np.nonzero(at)[0][:most]:
        state = begin(tried, id="bench", stable="a", canary="b", now=0.0)
        before = decide(tried, state, counted(cells[run, : at[run] - 1], weight), now=0.0)
        after = decide(tried, before, counted(cells[run, : at[run]], weight), now=0.0)
        if before.verdict == verdict or after.verdict != verdict:
            return False
    return True


def most_false(runs: int) -> float:
    """The largest share of errors that holds the goal; few rollouts show a rate of 5 % with a random error."""
    return 0.05 + 3 * math.sqrt(0.05 * 0.95 / runs) if runs < 2000 else 0.05


def error_rates(runs: int, random: np.random.Generator) -> Iterator[Row]:
    """Goal 1: rollbacks of a policy that is as good, promotions of one that is worse by the margin."""
    for weight in (50, 10):
        for guards in (1, 3):
            tried = strategy(weight, guards=guards)
            false = np.zeros(runs, dtype=bool)
            agreed = True
            for _ in range(guards):
                cells = conversations(
                    weight=weight, canary=0.1, control=0.1, runs=runs, longest=2000, random=random
                )
                at = crossings(cells, "more", weight=weight, margin=0.0, limit=harm_limit(tried))
                agreed &= guards > 1 or agrees_with_decide(tried, cells, at, "Rollback")
                false |= at > 0
            yield Row(
                goal=1,
                data=f"{weight} %",
                what=f"false rollbacks, {guards} guard(s), .10 against .10, a look after each of 2,000 conversations",
                reached=f"{false.mean():.3f}" + ("" if agreed else ", decide differs"),
                required="≤ .05",
                held=bool(agreed and false.mean() <= most_false(runs)),
            )
        tried = strategy(weight)
        cells = conversations(
            weight=weight, canary=0.1 + _MARGIN, control=0.1, runs=runs, longest=3000, random=random
        )
        at = crossings(cells, "not_worse", weight=weight, margin=_MARGIN, limit=safe_limit(tried))
        yield Row(
            goal=1,
            data=f"{weight} %",
            what="false promotions, .15 against .10 (margin .05), a look after each of 3,000 conversations",
            reached=f"{(at > 0).mean():.3f}",
            required="≤ .05",
            held=bool((at > 0).mean() <= most_false(runs)),
        )


def speed(runs: int, random: np.random.Generator) -> Iterator[Row]:
    """Goal 2: conversations until a bad policy is rolled back, and users who met it."""
    for weight, chance, longest, required in ((50, 0.3, 800, 310), (10, 0.3, 2500, 80), (10, 1.0, 400, 15)):
        tried = strategy(weight)
        cells = conversations(
            weight=weight, canary=chance, control=0.1, runs=runs, longest=longest, random=random
        )
        at = crossings(cells, "more", weight=weight, margin=0.0, limit=harm_limit(tried))
        exposed = np.array([(cells[run, : at[run] or longest] >= 2).sum() for run in range(runs)])
        times = np.where(at > 0, at, np.inf)
        counts = times if weight == 50 else exposed
        median, most = np.quantile(counts, [0.5, 0.9], method="higher")
        agreed = agrees_with_decide(tried, cells, at, "Rollback")
        yield Row(
            goal=2,
            data=f"{weight} %",
            what=f"{'conversations' if weight == 50 else 'users exposed'} until a rollback, {chance:.2f} against .10",
            reached=f"median {median:.0f}, 90 % within {most:.0f}" + ("" if agreed else ", decide differs"),
            required=f"≤ {required}",
            held=bool(agreed and most <= required),
        )
    tried = strategy(50)
    cells = conversations(weight=50, canary=0.1, control=0.1, runs=runs, longest=5000, random=random)
    at = crossings(cells, "not_worse", weight=50, margin=_MARGIN, limit=safe_limit(tried))
    median, most = np.quantile(np.where(at > 0, at, np.inf), [0.5, 0.9], method="higher")
    stated = decide(
        tried, begin(tried, id="b", stable="a", canary="b", now=0), RolloutCounts(), now=0
    ).remaining
    yield Row(
        goal=2,
        data="50 %",
        what="conversations until a promotion, .10 against .10 (margin .05); stated at the beginning",
        reached=f"median {median:.0f}, 90 % within {most:.0f}; stated {stated}",
        held=None if agrees_with_decide(tried, cells, at, "Promote") else False,
    )


def copies(runs: int, random: np.random.Generator) -> Iterator[Row]:
    """Goal 3: judged pairs and conversations of a shadow against an unpaired canary, 12 % of pairs differing."""
    differs, wins, both_wrong, longest = 0.12, 0.3, 0.1, 1500
    tried = Strategy(mode="shadow", shadow=Shadow(pairs=100_000))
    kinds = random.random((runs, longest))
    better, worse = kinds < differs * wins, (kinds >= differs * wins) & (kinds < differs)
    pairs, seen = np.full(runs, np.inf), np.full(runs, np.inf)
    wins_so_far, losses_so_far = np.cumsum(better, axis=1), np.cumsum(worse, axis=1)
    table: dict[tuple[int, int], float] = {}
    for run in range(runs):
        for number in np.nonzero(worse[run])[0]:
            key = int(losses_so_far[run, number]), int(wins_so_far[run, number])
            if key not in table:
                table[key] = bernoulli_log_e(key[0], sum(key), null=0.5, side="greater")
            if table[key] >= harm_limit(tried):
                pairs[run], seen[run] = sum(key), number + 1
                break
    agreed = all(
        decide(
            tried,
            begin(tried, id="bench", stable="a", canary="b", now=0.0),
            RolloutCounts(
                better=int(wins_so_far[run, at - 1]), worse=int(losses_so_far[run, at - 1]), copies=at
            ),
            now=0.0,
        ).verdict
        == "Rollback"
        for run in range(min(runs, 200))
        if math.isfinite(seen[run])
        for at in [int(seen[run])]
    )
    median, most = np.quantile(pairs, [0.5, 0.9], method="higher")
    yield Row(
        goal=3,
        data="shadow",
        what="judged pairs until a rollback, the canary right in .30 of the .12 that differ",
        reached=f"median {median:.0f}, 90 % within {most:.0f}" + ("" if agreed else ", decide differs"),
        required="≤ 100",
        held=bool(agreed and most <= 100),
    )
    unpaired = conversations(
        weight=50,
        canary=both_wrong + differs * (1 - wins),
        control=both_wrong + differs * wins,
        runs=runs // 4,
        longest=12_000,
        random=random,
    )
    at = crossings(unpaired, "more", weight=50, margin=0.0, limit=harm_limit(strategy(50)))
    plain = float(np.quantile(np.where(at > 0, at, np.inf), 0.5, method="higher"))
    fewer, judgements = plain / float(np.median(seen)), plain / median
    yield Row(
        goal=3,
        data="shadow",
        what="conversations and judgements of an unpaired canary at 50:50, as a multiple of those of copies",
        reached=f"{plain:.0f}: {fewer:.1f} × and {judgements:.0f} ×",
        required="4, 20 ×",
        held=fewer >= 4 and judgements >= 20,
    )


def switches(runs: int, random: np.random.Generator) -> Iterator[Row]:
    """Goal 4: conversations over all steps at three gateways that restart, while the canary's servers are lost once."""
    number, gateways = 5 * runs, 3
    clock = [1000.0]
    events = EventReader(PACK)

    def start(index: int, weight: int) -> Ledger:
        made = Ledger(events, gateway=f"g{index}-{random.integers(2**62)}", clock=lambda: clock[0])
        made.set_traffic(Traffic(rollout="bench", weight=weight, within=600.0))
        return made

    steps = (10, 50, 90)
    arms: list[set[str]] = [set() for _ in range(number)]
    assigned: dict[int, Counter[str]] = {weight: Counter() for weight in steps}
    requests = [wire.DecideRequest(conversation_id=f"c{name}") for name in range(number)]
    running = [start(index, steps[0]) for index in range(gateways)]
    moved = 0
    for turn in range(3 * len(steps)):
        weight = steps[turn // 3]
        clock[0] += 5.0
        if turn % 2:  # one gateway starts again
            running[turn % gateways] = start(turn % gateways, weight)
        for made in running:
            made.set_traffic(Traffic(rollout="bench", weight=weight, within=600.0))
        for name in range(turn // 3, number, len(steps)) if turn % 3 == 0 else range(number):
            if turn % 3 and not arms[name]:
                continue
            request, made = requests[name], running[int(random.integers(gateways))]
            request.messages.add(role=wire.ROLE_USER, content="so")
            leg = made.leg(request.conversation_id, request, routing_key=request.conversation_id)
            arm = made.arm(leg)
            if turn == 4 and arm == "canary" and name % 50 == 0:  # no server of the canary answers
                made.move(leg)
                moved += 1
            elif not (leg.progress and leg.progress.moved):
                if not arms[name]:
                    assigned[weight][arm] += 1
                arms[name].add(arm)
            decision = wire.Decision(ask=wire.Ask(question="And?"))
            made.answered(leg, request, decision, failed=False)
            request.assignment.CopyFrom(decision.assignment)
            request.messages.add(role=wire.ROLE_ASSISTANT, content="And?", author=wire.AUTHOR_POLICY)
    switched = sum(len(seen) > 1 for seen in arms)
    apart = max(
        abs(of_step["canary"] / of_step.total() - weight / 100) for weight, of_step in assigned.items()
    )
    yield Row(
        goal=4,
        data="gateways",
        what=f"switches in {number} conversations, three steps, four restarts, without {moved} that lost a server",
        reached=f"{switched}; shares within {100 * apart:.1f} points",
        required="0, 1",
        held=switched == 0 and apart <= (0.01 if runs >= 2000 else 0.04),
    )


def quiet(runs: int, random: np.random.Generator) -> Iterator[Row]:
    """Goal 7: 20 conversations a day for 20 days, with a longest duration of 10 days."""
    tried = Strategy(
        mode="canary",
        steps=(Step(weight=10), Step(weight=50)),
        guards=(Guard(metric=_METRIC),),
        max_duration="240h",
    )
    found = [
        simulate(tried, Quality(chances={_METRIC: (0.1, 0.1)}), per_day=20, most_days=20, random=random)
        for _ in range(max(10, runs // 20))
    ]
    held = sum(end.state.verdict == "Hold" for end in found)
    stated = sum(end.state.remaining is not None and "today's traffic" in end.state.message for end in found)
    promoted = sum(end.state.verdict == "Promote" for end in found)
    yield Row(
        goal=7,
        data="20 a day",
        what="rollouts that hold after 20 days and state how many conversations and days are missing; promotions",
        reached=f"{held} of {len(found)} hold, {stated} state it, {promoted} promoted",
        required="all, 0",
        # A false rollback is an error of goal 1, not a verdict by time-out.
        held=stated == held and promoted == 0 and held >= 0.9 * len(found),
    )


GOALS: dict[int, Callable[[int, np.random.Generator], Iterator[Row]]] = {
    1: error_rates,
    2: speed,
    3: copies,
    4: switches,
    7: quiet,
}


def main() -> int:
    """Run the goals, print their table, and return the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--goal", type=int, nargs="+", choices=sorted(GOALS), default=sorted(GOALS))
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    runs, short = 200 if options.quick else 2000, 0
    print(HEADING)
    for goal in options.goal:
        start = time.monotonic()
        for row in GOALS[goal](runs, np.random.default_rng([options.seed, goal])):
            print(row.line(), flush=True)
            short += row.held is False
        print(f"goal {goal}: {time.monotonic() - start:.0f} s", file=sys.stderr, flush=True)
    return int(options.check and short > 0)


if __name__ == "__main__":
    raise SystemExit(main())
