"""Put the report together from what was found out about each policy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from pydantic import JsonValue

from learntoask.core.manifest import RunSpec
from learntoask.evaluation.evaluate import Bench, Evaluated, differences, reward_hacking
from learntoask.evaluation.heldout import data_report
from learntoask.evaluation.report.curves import read_curves
from learntoask.evaluation.report.misses import worst
from learntoask.evaluation.report_schema import DataReport, GraderReport, Report

HEADLINE = ("WA-GH", "WS-continue", "WS-stop", "Total")


def assemble(
    evaluated: Sequence[Evaluated],
    *,
    bench: Bench,
    spec: RunSpec,
    key: str,
    agreement: Mapping[str, JsonValue],
    inputs: Mapping[str, Path],
) -> Report:
    """The report on `evaluated`, in the order they were trained in; the last is the policy under test.

    `inputs` maps upstream stages to their folders, for training curves and counts of what was set aside.
    """
    last = evaluated[-1]
    by_id = {labelled.session.session_id: labelled for labelled in bench.held_out.sessions}
    data = data_report(bench.held_out, bench.pack, inputs=inputs)
    return Report(
        name=bench.pack.name,
        key=key,
        under_test=last.name,
        settings={
            "evaluate": bench.settings.model_dump(mode="json", by_alias=True),
            "train": spec.train.model_dump(mode="json", by_alias=True),
        },
        policies=[one.report for one in evaluated],
        pairs=differences(evaluated, bench),
        gap_growth=reward_hacking(evaluated, bench),
        grader=GraderReport(
            reporting=bench.reporting.digest, rewarding=bench.rewarding.digest, agreement=dict(agreement)
        ),
        data=data,
        curves=[
            curve
            for stage, folder in inputs.items()
            for curve in read_curves(stage, folder / "metrics.jsonl")
        ],
        misses=worst(last.decisions["greedy"], by_id),
        notes=notes(data, evaluated, spec),
    )


def notes(data: DataReport, evaluated: Sequence[Evaluated], spec: RunSpec) -> list[str]:
    """What a reader must know to read the figures rightly, as sentences."""
    found = []
    if data.sessions < data.available:
        found.append(
            f"{data.sessions} of {data.available} held-out sessions were evaluated (a fixed choice)."
        )
    if not data.stops:
        found.append(
            "No held-out session is brought to a stop by its expert, so WS-stop could not be measured."
        )
    if not data.continues:
        found.append("Every held-out decision is a stop, so no metric of questions could be measured.")
    if not data.unseen_sessions:
        found.append("Every held-out session belongs to a task that training has sessions of.")
    elif not data.seen_sessions:
        found.append("No held-out session belongs to a task that training has sessions of.")
    if spec.train.method != "grpo" and spec.train.grpo.updates:
        names = {"dpo": "DPO", "rewardWeighted": "reward-weighted supervised learning"}
        found.append(f"The policy called grpo was trained by {names[spec.train.method]} (train.method).")
    faults = spec.dataset.corrupt
    if faults.active:
        found.append(
            f"The training data was corrupted on purpose: {faults.sloppy:.0%} of the sessions by careless experts, "
            f"{faults.label_noise:.0%} of the labels wrong (dataset.corrupt)."
        )
    if not spec.train.sft.epochs:
        found.append("There was no supervised training (train.sft.epochs is 0).")
    if spec.train.reward.mode == "ask_only":
        found.append("Reward mode ask_only: prompts offer no stop, so stopping cannot be expected.")
    for one in evaluated:
        for decoding, part in one.report.decodings.items():
            if part.missing.share > spec.grader.max_missing_share:
                found.append(
                    f"{one.name}, {decoding}: {part.missing.count} of {part.completions} grades are missing "
                    f"({part.missing.share:.0%}); its figures rest on the rest."
                )
    return found


def headline(report: Report) -> dict[str, JsonValue]:
    """The few figures that a run's final table shows, per policy (greedy, reporting grader)."""
    return {
        policy.name: {
            name: None
            if (value := policy.decodings["greedy"].metrics[name].value) is None
            else round(value, 4)
            for name in HEADLINE
        }
        for policy in report.policies
    }
