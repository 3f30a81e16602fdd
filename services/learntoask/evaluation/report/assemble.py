"""Assemble the report from the results of the evaluated policies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from pydantic import JsonValue

from learntoask.core.manifest import RunSpec
from learntoask.core.pack import Pack
from learntoask.core.stages.graph import pack_digests
from learntoask.core.stages.policy_choice import published_choice
from learntoask.core.stages.warnings_file import published_warnings
from learntoask.evaluation.calibration import read_calibration
from learntoask.evaluation.evaluate import EvaluatedPolicy, EvaluationSetup, differences, gap_growth_since_sft
from learntoask.evaluation.heldout import data_report
from learntoask.evaluation.report.curves import read_curves
from learntoask.evaluation.report.misses import worst_misses
from learntoask.evaluation.report_schema import DataReport, EvaluationReport, GraderReport
from learntoask.evaluation.stats.metrics import HEADLINE

_COMPARED = ("dataset", "label", "grader", "calibrate", "train", "evaluate", "serve")


def assemble(
    evaluated: Sequence[EvaluatedPolicy],
    *,
    setup: EvaluationSetup,
    spec: RunSpec,
    key: str,
    agreement: Mapping[str, JsonValue],
    inputs: Mapping[str, Path],
) -> EvaluationReport:
    """Return the report on `evaluated`, which is in training order; the last one is the policy under test.

    `inputs` maps upstream stages to their folders, for training curves and counts of quarantined records.
    """
    last = evaluated[-1]
    by_id = {labelled.session.session_id: labelled for labelled in setup.held_out.sessions}
    data = data_report(setup.held_out, setup.pack, inputs=inputs)
    return EvaluationReport(
        name=setup.pack.name,
        key=key,
        under_test=last.name,
        settings=settings_of(spec, setup.pack),
        choice=published_choice(inputs["grpo"]) if "grpo" in inputs else None,
        stopping=setup.stopping,
        policies=[policy.report for policy in evaluated],
        pairs=differences(evaluated, setup),
        gap_growth=gap_growth_since_sft(evaluated, setup),
        grader=GraderReport(
            reporting=setup.reporting.digest, rewarding=setup.rewarding.digest, agreement=dict(agreement)
        ),
        calibration=read_calibration(inputs["label"]),
        data=data,
        curves=[
            curve
            for stage, folder in inputs.items()
            for curve in read_curves(stage, folder / "metrics.jsonl")
        ],
        misses=worst_misses(last.decisions["greedy"], by_id),
        notes=[
            *notes(data, evaluated, spec),
            *map(_sentence, agreement.get("warnings") or ()),
            *(
                _sentence(warning)
                for folder in dict.fromkeys(inputs.values())
                for warning in published_warnings(folder)
            ),
        ],
    )


def settings_of(spec: RunSpec, pack: Pack) -> dict[str, JsonValue]:
    """Return the settings that figures depend on, and the digests of the pack's parts."""
    written = spec.model_dump(mode="json", by_alias=True, include=set(_COMPARED))
    return {**written, "pack": {"name": pack.name, "version": pack.version, **pack_digests(pack)}}


def notes(data: DataReport, evaluated: Sequence[EvaluatedPolicy], spec: RunSpec) -> list[str]:
    """Return the facts that a reader needs to interpret the figures correctly, as sentences."""
    found = [
        f"All figures are of one training run (train.seed {spec.train.seed}). Their intervals are about other "
        "sessions, not other seeds; lta sweep with spec.seeds is about both."
    ]
    if data.sessions < data.available:
        found.append(
            f"{data.sessions} of {data.available} held-out sessions were evaluated (a fixed choice)."
        )
    if not data.stops:
        found.append("No held-out session ends with a stop of its expert, so WS-stop could not be measured.")
    if not data.continues:
        found.append("Every held-out decision is a stop, so the metrics of questions could not be measured.")
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
        found.append(
            "The reward mode is ask_only: prompts have no stop line, so the policy cannot be expected to stop."
        )
    for policy in evaluated:
        for decoding, part in policy.report.decodings.items():
            if part.missing.share > spec.grader.max_missing_share:
                found.append(
                    f"{policy.name}, {decoding}: {part.missing.count} of {part.completions} grades are missing "
                    f"({part.missing.share:.0%}); its figures are computed from the others."
                )
    return found


def _sentence(warning: JsonValue) -> str:
    text = str(warning)
    return f"{text[:1].upper()}{text[1:]}" + ("" if text.endswith(".") else ".")


def headline(report: EvaluationReport) -> dict[str, JsonValue]:
    """Return the figures that a run's final table shows, per policy (greedy decoding, reporting grader)."""
    return {
        policy.name: {
            name: None
            if (value := policy.decodings["greedy"].metrics[name].value) is None
            else round(value, 4)
            for name in HEADLINE
        }
        for policy in report.policies
    }
