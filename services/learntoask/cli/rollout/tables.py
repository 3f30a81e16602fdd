"""What the commands of `lta rollout` print."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from rich.console import Console
from rich.table import Table

from learntoask.core.manifest.strategy import Strategy
from learntoask.core.status.rollout import Arm, JudgedPairs, RolloutStatus
from learntoask.rollout.evidence import evidence_of, harm_limit, interval_of, safe_limit
from learntoask.rollout.simulate import SimulatedRollout
from learntoask.statistics.prediction_powered import PredictionPoweredMean


def show_state(strategy: Strategy, state: RolloutStatus) -> None:
    """Print a rollout: its stage, both arms, and the evidence about each guard."""
    console = Console()
    console.print(
        f"[bold]{state.verdict}[/bold]: {state.message or state.reason}\n"
        f"rollout {state.id}: {state.stage}, {state.weight} % of new conversations to the canary"
        + (" (paused)" if state.paused else "")
    )
    counts = state.counts
    arms = Table("arm", "revision", "born", "observed")
    revisions: dict[Arm, str] = {"control": state.stable, "canary": state.canary}
    for arm, revision in revisions.items():
        arms.add_row(arm, revision, str(counts.born(arm)), str(counts.ended(arm)))
    console.print(arms)
    guards = Table("metric", "control", "canary", "canary − control", "harm", "no worse")
    for found in evidence_of(strategy, counts):
        low, high = interval_of(found.metric, counts, alpha=strategy.alpha)
        guards.add_row(
            found.metric,
            _share(found.control),
            _share(found.canary),
            f"{low:+.3f} … {high:+.3f}" if found.observed else "–",
            _progress(found.harm, harm_limit(strategy), found.metric in state.harmful),
            _progress(found.safe, safe_limit(strategy), found.metric in state.safe),
        )
    console.print(guards)
    if counts.copies or counts.dropped:
        console.print(
            f"copies: {counts.copies} answers, {counts.dropped} dropped; conversations: better {counts.better}, alike "
            f"{counts.alike}, worse {counts.worse}"
        )
    if state.judged is not None:
        judged = state.judged
        console.print(f"as people judged: better {judged.better}, alike {judged.alike}, worse {judged.worse}")
    if strategy.unit == "caller":
        console.print(
            f"conversations that do not count: {counts.returning} of callers who were counted before, "
            f"{counts.without_caller} without a caller_id"
        )
    console.print(
        f"calls to the canary: {counts.calls}, failed {counts.failed}, slow {counts.slow}; conversations that went on "
        f"with another policy: {counts.switched}"
    )


def show_simulation(found: Sequence[SimulatedRollout]) -> None:
    """Print how simulated rollouts end: how often each way, and after how much."""
    table = Table(
        "end", "share", "conversations: median", "90 %", "days: median", "90 %", "users of the canary: 90 %"
    )
    for verdict, number in Counter(one.state.verdict for one in found).most_common():
        own = [one for one in found if one.state.verdict == verdict]
        conversations = np.quantile([one.conversations for one in own], [0.5, 0.9])
        days = np.quantile([one.days for one in own], [0.5, 0.9])
        exposed = np.quantile([one.exposed for one in own], 0.9)
        table.add_row(
            verdict,
            f"{number / len(found):.0%}",
            *(f"{value:.0f}" for value in conversations),
            *(f"{value:.1f}" for value in days),
            f"{exposed:.0f}",
        )
    Console().print(table)


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.1%}"


def _progress(log_e: float, limit: float, shown: bool) -> str:
    """Return an e-value as a share of what a verdict needs."""
    return "shown" if shown else f"{np.exp(min(log_e, 50)):.2g} of {np.exp(limit):.0f}"


def show_judged(judged: JudgedPairs, estimate: PredictionPoweredMean | None) -> None:
    """Print what people said about copies, and what they would say about all that differ."""
    number = judged.better + judged.alike + judged.worse
    if estimate is None:
        Console().print("nobody has judged a conversation yet")
        return
    low, high = estimate.interval()
    worth = max(0.0, (estimate.worth - 1) * estimate.labels)
    Console().print(
        f"people judged {number} of {estimate.items} conversations whose answers differ: the canary was better in "
        f"{judged.better}, as good in {judged.alike}, worse in {judged.worse}\n"
        f"better − worse over all of them: {estimate.value:+.2f} ({low:+.2f} … {high:+.2f}); "
        f"what the patterns find in the others is worth {worth:.0f} more judgements"
    )
