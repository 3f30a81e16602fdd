"""The evaluate stage: compare base, SFT and GRPO policy on the held-out sessions.

Publishes report.json, report.html, decisions.jsonl and, if sessions were replayed, replay.jsonl.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pydantic import JsonValue

from learntoask.core.errors import InputError, TooManyMissing
from learntoask.core.json_lines import write_records
from learntoask.core.manifest import GraderSettings
from learntoask.core.pack import Pack
from learntoask.core.stages.contract import StageContext, StageSummary
from learntoask.evaluation.calibration import read_human_points
from learntoask.evaluation.evaluate import EvaluatedPolicy, EvaluationSetup, evaluate_policy
from learntoask.evaluation.heldout import read_held_out
from learntoask.evaluation.policy import PolicyLoader
from learntoask.evaluation.report.assemble import assemble, headline
from learntoask.evaluation.report.html import render
from learntoask.evaluation.report_schema import EvaluationReport
from learntoask.grading.grades import REMEDY, Grader, describe_missing
from learntoask.policy.stopping import published_stopping


@dataclass(frozen=True, kw_only=True)
class Graders:
    """The two graders that the grader stage published, and the content of its agreement.json."""

    reporting: Grader
    rewarding: Grader
    agreement: Mapping[str, JsonValue]


def run(context: StageContext) -> StageSummary:
    """Evaluate every policy of the run. Raises StageError if there is nothing to evaluate on."""
    from learntoask.evaluation.torch_policy import policy_loader  # noqa: PLC0415 - torch, only where a model is run

    inputs, spec = context.inputs, context.spec
    models: dict[str, Path] = {}
    if spec.evaluate.base or not (spec.train.sft.epochs or spec.train.grpo.updates):
        models["base"] = inputs["fetch"] / "model"
    if spec.train.sft.epochs:  # without epochs the SFT stage publishes the base model
        models["sft"] = inputs["sft"] / "model"
    if spec.train.grpo.updates:  # without updates the GRPO stage publishes the SFT model
        models["grpo"] = inputs["grpo"] / "model"
    with open_graders(
        inputs["grader"], settings=spec.grader, pack=context.pack, work=context.work
    ) as graders:
        report = evaluate_models(
            context,
            models=models,
            graders=graders,
            load_policy=policy_loader(spec, context.pack, published_stopping(inputs["grpo"])),
        )
    summary: StageSummary = {
        "headline": headline(report),
        "underTest": report.under_test,
        "sessions": report.data.sessions,
    }
    return summary | ({"published": report.choice.reason} if report.choice else {})


def evaluate_models(
    context: StageContext, *, models: Mapping[str, Path], graders: Graders, load_policy: PolicyLoader
) -> EvaluationReport:
    """Evaluate the model folders of `models`, in the order in which they were trained, and write all files.

    `context.inputs["label"]` must hold labelled.jsonl; the report also shows training curves and quarantined records of
    every other input. `context.work` keeps the journal of a killed attempt with the same arguments. Raises StageError
    and InputError.
    """
    spec = context.spec
    setup = EvaluationSetup(
        held_out=read_held_out(
            context.inputs["label"] / "labelled.jsonl", context.pack, max_sessions=spec.evaluate.max_sessions
        ),
        pack=context.pack,
        reporting=graders.reporting,
        rewarding=graders.rewarding,
        settings=spec.evaluate,
        seed=spec.train.seed,
        load_policy=load_policy,
        work=context.work,
        progress=context.progress,
        human_points=read_human_points(context.inputs["label"]),
        stopping=published_stopping(context.inputs["grpo"]) if "grpo" in context.inputs else None,
    )
    evaluated = []
    for name, model in models.items():
        evaluated.append(evaluate_policy(name, model, setup, is_last=name == list(models)[-1]))
        if name != "base":  # a grader may be unable to grade what an untrained model says
            _require_grades(evaluated[-1], spec.grader.max_missing_share)
    report = assemble(
        evaluated,
        setup=setup,
        spec=spec,
        key=context.key,
        agreement=graders.agreement,
        inputs=context.inputs,
    )
    write_records(
        context.out / "decisions.jsonl",
        (decision for policy in evaluated for part in policy.decisions.values() for decision in part),
    )
    if spec.evaluate.replay:
        write_records(
            context.out / "replay.jsonl", (replay for policy in evaluated for replay in policy.replays)
        )
    report_json = context.out / "report.json"
    report_json.write_text(report.model_dump_json(indent=1) + "\n", encoding="utf-8")
    render(report_json, context.out / "report.html")
    return report


@contextmanager
def open_graders(folder: Path, *, settings: GraderSettings, pack: Pack, work: Path) -> Iterator[Graders]:
    """Open the graders that the grader stage published in `folder`.

    They run in this process, or behind the addresses of `settings`. A judge keeps its answers in `work`.
    Raises InputError if agreement.json cannot be read.
    """
    agreement = folder / "agreement.json"
    try:
        figures = json.loads(agreement.read_bytes())
    except (OSError, ValueError) as error:
        raise InputError(f"the graders' agreement {agreement} cannot be read: {error}") from error
    from learntoask.grader_service.grader_source import open_grader  # noqa: PLC0415 - a sentence encoder comes with it

    with (
        open_grader("reporting", folder, settings=settings, pack=pack, work=work) as reporting,
        open_grader("rewarding", folder, settings=settings, pack=pack, work=work) as rewarding,
    ):
        yield Graders(reporting=reporting, rewarding=rewarding, agreement=figures)


def _require_grades(evaluated: EvaluatedPolicy, max_share: float) -> None:
    missing = evaluated.report.decodings["greedy"].missing
    if missing.share > max_share:
        answers = [
            (decision.missing("reporting"), decision.response) for decision in evaluated.decisions["greedy"]
        ]
        raise TooManyMissing(
            f"policy {evaluated.name}: {missing.count} grades are missing "
            f"({missing.share:.0%}, allowed {max_share:.0%}); "
            f"{describe_missing([(reason, text) for reason, text in answers if reason is not None])}. {REMEDY}"
        )
