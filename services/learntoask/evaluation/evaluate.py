"""Evaluate policies on held-out sessions: decode, grade with both graders, replay, and sum up.

The stage and `lta evaluate` both come through here. Every policy is journalled part by part in the work folder, so a
killed evaluation starts again where it was.
"""

from __future__ import annotations

import gc
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from learntoask.core.json_lines import read_records, write_records
from learntoask.core.manifest import Evaluate
from learntoask.core.model_digest import folder_digest
from learntoask.core.pack import Pack
from learntoask.core.records import LabelledSession
from learntoask.core.stages.contract import Progress
from learntoask.evaluation.decisions import DecisionRow, Decoding, contexts, graded
from learntoask.evaluation.heldout import HeldOut, choose
from learntoask.evaluation.policy import Opener, PolicyUnderTest, Told
from learntoask.evaluation.replay import Replayed, replay, replay_report
from learntoask.evaluation.report_schema import Pair, PolicyReport
from learntoask.evaluation.stats.bootstrap import Difference
from learntoask.evaluation.summary import decoding_report, gap_growth, pair, stop_probability
from learntoask.grading.grades import Grader

_PART = 64  # sessions decoded and journalled at a time: what a killed evaluation may have to do again


@dataclass(frozen=True, kw_only=True)
class Bench:
    """What all policies are evaluated on and with; `work` keeps the journal."""

    held_out: HeldOut
    pack: Pack
    reporting: Grader
    rewarding: Grader
    settings: Evaluate
    seed: int
    opener: Opener
    work: Path
    progress: Progress


@dataclass(frozen=True, kw_only=True)
class Evaluated:
    """Everything found out about one policy; `replays` is empty where they were left out."""

    name: str
    decisions: Mapping[Decoding, Sequence[DecisionRow]]
    replays: Sequence[Replayed]
    report: PolicyReport


def evaluate_policy(name: str, model: Path, bench: Bench) -> Evaluated:
    """Evaluate the policy in folder `model`, called `name` in the report.

    The model is loaded only if the journal leaves something to do.
    """
    with _opened_when_needed(model, bench.opener) as policy:
        rows = _decisions(name, policy, bench)
        replays = _replays(name, policy, bench) if bench.settings.replay else []
    decodings: tuple[Decoding, ...] = ("greedy", "sampled") if bench.settings.samples else ("greedy",)
    decisions = {decoding: [row for row in rows if row.decoding == decoding] for decoding in decodings}
    resamples, seed = bench.settings.bootstrap, bench.seed
    report = PolicyReport(
        name=name,
        model=folder_digest(model),
        decodings={
            decoding: decoding_report(rows, resamples=resamples, seed=seed)
            for decoding, rows in decisions.items()
        },
        stop_probability=stop_probability(decisions["greedy"], resamples=resamples, seed=seed),
        replay=replay_report(replays, resamples=resamples, seed=seed) if replays else None,
    )
    return Evaluated(name=name, decisions=decisions, replays=replays, report=report)


def differences(evaluated: Sequence[Evaluated], bench: Bench) -> list[Pair]:
    """Each policy against the one before it, under every decoding."""
    return [
        pair(
            before.decisions[decoding],
            after.decisions[decoding],
            resamples=bench.settings.bootstrap,
            seed=bench.seed,
        )
        for before, after in itertools.pairwise(evaluated)
        for decoding in after.decisions
    ]


def reward_hacking(evaluated: Sequence[Evaluated], bench: Bench) -> dict[str, Difference]:
    """How the gap between the graders grew from the SFT policy to the last; empty where those are not two."""
    before = next((one for one in evaluated[:-1] if one.name == "sft"), None)
    if before is None:
        return {}
    return gap_growth(
        before.decisions["greedy"],
        evaluated[-1].decisions["greedy"],
        resamples=bench.settings.bootstrap,
        seed=bench.seed,
    )


def _decisions(name: str, policy: Callable[[], PolicyUnderTest], bench: Bench) -> list[DecisionRow]:
    sessions = bench.held_out.sessions
    rows: list[DecisionRow] = []
    for start in range(0, len(sessions), _PART):
        part = sessions[start : start + _PART]
        journal = bench.work / f"decisions-{name}-{start:06}.jsonl"
        if not journal.exists():
            told = _told_part(bench, f"{name}: decisions", before=start, part=len(part), of=len(sessions))
            write_records(journal, _decide(name, policy(), bench, part, told))
        rows += read_records(journal, DecisionRow)
    return rows


def _decide(
    name: str, policy: PolicyUnderTest, bench: Bench, sessions: Sequence[LabelledSession], told: Told
) -> list[DecisionRow]:
    answers = policy.decide(
        sessions,
        samples=bench.settings.samples,
        temperature=bench.settings.temperature,
        seed=bench.seed,
        told=told,
    )
    before = contexts(sessions)
    grades = zip(*(graded(answers, one, before) for one in (bench.reporting, bench.rewarding)), strict=True)
    groups = [bench.pack.task(answer.task).group_name for answer in answers]
    return [
        DecisionRow(
            **dict(answer),
            policy=name,
            group=group,
            seen=group in bench.held_out.seen_groups,
            reporting=reporting,
            rewarding=rewarding,
        )
        for answer, group, (reporting, rewarding) in zip(answers, groups, grades, strict=True)
    ]


def _replays(name: str, policy: Callable[[], PolicyUnderTest], bench: Bench) -> list[Replayed]:
    journal = bench.work / f"replay-{name}.jsonl"
    if not journal.exists():
        replayed = replay(
            choose(bench.held_out.sessions, bench.settings.replay_sessions),
            name=name,
            policy=policy(),
            grader=bench.reporting,
            pack=bench.pack,
            seed=bench.seed,
            told=lambda done, total: bench.progress.update(done, total, f"{name}: session replay"),
        )
        write_records(journal, replayed)
    return list(read_records(journal, Replayed))


def _told_part(bench: Bench, message: str, *, before: int, part: int, of: int) -> Told:
    """Progress of a part, told as progress of all sessions."""
    return lambda done, total: bench.progress.update(before + part * done / max(total, 1), of, message)


@contextmanager
def _opened_when_needed(model: Path, opener: Opener) -> Iterator[Callable[[], PolicyUnderTest]]:
    """A function that loads the policy the first time; its memory is given back at the end."""
    opened: list[PolicyUnderTest] = []

    def policy() -> PolicyUnderTest:
        if not opened:
            opened.append(opener(model))
        return opened[0]

    try:
        yield policy
    finally:
        opened.clear()
        gc.collect()
