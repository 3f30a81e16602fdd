"""Evaluate policies on held-out sessions: decode, grade with both graders, replay, and summarise.

The stage and `lta evaluate` both use this module. Each policy's decisions are written to a journal in the work folder
part by part, so an evaluation that is killed continues after its last complete part.
"""

from __future__ import annotations

import gc
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from learntoask.calibration.truth import HumanPoint
from learntoask.core.digest import folder_digest
from learntoask.core.json_lines import read_records, write_records
from learntoask.core.manifest import Evaluate
from learntoask.core.pack import Pack
from learntoask.core.records import LabelledSession
from learntoask.core.stages.contract import Progress, ProgressCallback
from learntoask.evaluation.assessments import assessment_metrics
from learntoask.evaluation.corrected import corrected_metrics
from learntoask.evaluation.decisions import DecisionRecord, Decoding, contexts, grade_decisions
from learntoask.evaluation.heldout import HeldOut, choose
from learntoask.evaluation.policy import PolicyLoader, PolicyUnderTest
from learntoask.evaluation.repeats import repeats_of_decisions, repetitions_of
from learntoask.evaluation.replay import ReplayedSession, replay, replay_report
from learntoask.evaluation.report_schema import Pair, PolicyReport
from learntoask.evaluation.stops import stop_probability, stops_by_turn
from learntoask.evaluation.summary import decoding_report, gap_growth, paired_differences
from learntoask.grading.grades import Grader
from learntoask.labeling.repeated_questions import RepeatReader
from learntoask.policy.stopping import Stopping
from learntoask.statistics.bootstrap import Difference

_PART = 64  # sessions per journal file: at most so many are decoded again after a kill


@dataclass(frozen=True, kw_only=True)
class EvaluationSetup:
    """What every policy of an evaluation shares: sessions, graders, settings, and the folder `work` of the journal.

    `human_points` are what people say is true at some decision points; empty if nobody was asked.
    """

    held_out: HeldOut
    pack: Pack
    reporting: Grader
    rewarding: Grader
    settings: Evaluate
    seed: int
    load_policy: PolicyLoader
    work: Path
    progress: Progress
    human_points: Sequence[HumanPoint] = ()
    stopping: Stopping | None = None
    """What `stopThreshold: auto` chose for the last policy."""


@dataclass(frozen=True, kw_only=True)
class EvaluatedPolicy:
    """All results of one policy; `replays` is empty if the settings turn session replay off."""

    name: str
    decisions: Mapping[Decoding, Sequence[DecisionRecord]]
    replays: Sequence[ReplayedSession]
    report: PolicyReport


def evaluate_policy(
    name: str, model: Path, setup: EvaluationSetup, *, is_last: bool = True
) -> EvaluatedPolicy:
    """Evaluate the policy in folder `model` under the name `name`; the last one of a run is the one that is published.

    The model is loaded only if the journal is incomplete.
    """
    with _lazily_loaded(model, setup.load_policy) as policy:
        records = _decisions(name, policy, setup)
        replays = _replays(name, policy, setup) if setup.settings.replay else []
    decodings: tuple[Decoding, ...] = ("greedy", "sampled") if setup.settings.samples else ("greedy",)
    decisions = {
        decoding: [record for record in records if record.decoding == decoding] for decoding in decodings
    }
    resamples, seed = setup.settings.bootstrap, setup.seed
    report = PolicyReport(
        name=name,
        model=folder_digest(model),
        decodings={
            decoding: decoding_report(of_decoding, resamples=resamples, seed=seed)
            for decoding, of_decoding in decisions.items()
        },
        stop_probability=stop_probability(
            decisions["greedy"],
            temperature=setup.stopping.temperature if setup.stopping and is_last else None,
            resamples=resamples,
            seed=seed,
        ),
        stops_by_turn=stops_by_turn(decisions["greedy"]),
        repeats=repeats_of_decisions(decisions["greedy"], resamples=resamples, seed=seed),
        assessment=assessment_metrics(decisions["greedy"], resamples=resamples, seed=seed),
        replay=replay_report(replays, resamples=resamples, seed=seed) if replays else None,
        corrected=corrected_metrics(decisions["greedy"], setup.human_points),
    )
    return EvaluatedPolicy(name=name, decisions=decisions, replays=replays, report=report)


def differences(evaluated: Sequence[EvaluatedPolicy], setup: EvaluationSetup) -> list[Pair]:
    """Compare each policy with the previous one, under every decoding."""
    return [
        paired_differences(
            before.decisions[decoding],
            after.decisions[decoding],
            resamples=setup.settings.bootstrap,
            seed=setup.seed,
        )
        for before, after in itertools.pairwise(evaluated)
        for decoding in after.decisions
    ]


def gap_growth_since_sft(
    evaluated: Sequence[EvaluatedPolicy], setup: EvaluationSetup
) -> dict[str, Difference]:
    """Return how much the gap between the graders grew from the SFT policy to the last policy.

    The result is empty if no SFT policy was evaluated before the last policy.
    """
    before = next((policy for policy in evaluated[:-1] if policy.name == "sft"), None)
    if before is None:
        return {}
    return gap_growth(
        before.decisions["greedy"],
        evaluated[-1].decisions["greedy"],
        resamples=setup.settings.bootstrap,
        seed=setup.seed,
    )


def _decisions(
    name: str, policy: Callable[[], PolicyUnderTest], setup: EvaluationSetup
) -> list[DecisionRecord]:
    sessions = setup.held_out.sessions
    records: list[DecisionRecord] = []
    for start in range(0, len(sessions), _PART):
        part = sessions[start : start + _PART]
        journal = setup.work / f"decisions-{name}-{start:06}.jsonl"
        if not journal.exists():
            progress = _progress_of_part(
                setup, f"{name}: decisions", before=start, part=len(part), total=len(sessions)
            )
            write_records(journal, _decide(name, policy(), setup, part, progress))
        records += read_records(journal, DecisionRecord)
    return records


def _decide(
    name: str,
    policy: PolicyUnderTest,
    setup: EvaluationSetup,
    sessions: Sequence[LabelledSession],
    progress: ProgressCallback,
) -> list[DecisionRecord]:
    decisions = policy.decide(
        sessions,
        samples=setup.settings.samples,
        temperature=setup.settings.temperature,
        seed=setup.seed,
        progress=progress,
    )
    before = contexts(sessions)
    reporting, rewarding = (
        grade_decisions(decisions, grader, before) for grader in (setup.reporting, setup.rewarding)
    )
    groups = [setup.pack.task(decision.task).group_name for decision in decisions]
    repetitions = repetitions_of(
        decisions,
        reporting,
        sessions=sessions,
        contexts=before,
        reader=RepeatReader(setup.pack),
        grader=setup.reporting,
    )
    return [
        DecisionRecord(
            **dict(decision),
            policy=name,
            group=group,
            seen=group in setup.held_out.seen_groups,
            reporting=reported,
            rewarding=rewarded,
            repetition=drafted,
            served_repetition=served,
        )
        for decision, group, reported, rewarded, (drafted, served) in zip(
            decisions, groups, reporting, rewarding, repetitions, strict=True
        )
    ]


def _replays(
    name: str, policy: Callable[[], PolicyUnderTest], setup: EvaluationSetup
) -> list[ReplayedSession]:
    journal = setup.work / f"replay-{name}.jsonl"
    if not journal.exists():
        replayed = replay(
            choose(setup.held_out.sessions, setup.settings.replay_sessions),
            name=name,
            policy=policy(),
            grader=setup.reporting,
            pack=setup.pack,
            progress=lambda done, total: setup.progress.update(done, total, f"{name}: session replay"),
        )
        write_records(journal, replayed)
    return list(read_records(journal, ReplayedSession))


def _progress_of_part(
    setup: EvaluationSetup, message: str, *, before: int, part: int, total: int
) -> ProgressCallback:
    """Return a callback that reports the progress of `part` sessions as progress of all `total` sessions."""
    return lambda done, units: setup.progress.update(before + part * done / max(units, 1), total, message)


@contextmanager
def _lazily_loaded(model: Path, load_policy: PolicyLoader) -> Iterator[Callable[[], PolicyUnderTest]]:
    """Yield a function that loads the policy at its first call; free the policy's memory at the end."""
    loaded: list[PolicyUnderTest] = []

    def policy() -> PolicyUnderTest:
        if not loaded:
            loaded.append(load_policy(model))
        return loaded[0]

    try:
        yield policy
    finally:
        loaded.clear()
        gc.collect()
