"""The evaluate stage: base, SFT and GRPO policy side by side on the held-out sessions.

Publishes report.json, report.html, decisions.jsonl and, where sessions were replayed, replay.jsonl.
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
from learntoask.core.manifest import GraderSettings, RunSpec
from learntoask.core.pack import Pack
from learntoask.core.stages.contract import Progress, StageContext, StageSummary
from learntoask.evaluation.evaluate import Bench, Evaluated, evaluate_policy
from learntoask.evaluation.heldout import read_held_out
from learntoask.evaluation.policy import Opener
from learntoask.evaluation.report.assemble import assemble, headline
from learntoask.evaluation.report.html import render
from learntoask.evaluation.report_schema import Report
from learntoask.grading.grades import REMEDY, Grader, describe_missing


@dataclass(frozen=True, kw_only=True)
class Graders:
    """What the grader stage published; `agreement` is its agreement.json."""

    reporting: Grader
    rewarding: Grader
    agreement: Mapping[str, JsonValue]


def run(context: StageContext) -> StageSummary:
    """Evaluate every policy of the run. Raises StageError where there is nothing to evaluate on."""
    from learntoask.evaluation.decoding import decoder_of  # noqa: PLC0415 - torch, only where a model is run

    inputs, spec = context.inputs, context.spec
    models = {"base": inputs["fetch"] / "model"}
    if spec.train.sft.epochs:  # else its model is the base model once more
        models["sft"] = inputs["sft"] / "model"
    if spec.train.grpo.updates:  # else its model is the SFT policy once more
        models["grpo"] = inputs["grpo"] / "model"
    with open_graders(
        inputs["grader"], settings=spec.grader, pack=context.pack, work=context.work
    ) as graders:
        report = evaluate_models(
            models=models,
            labelled=inputs["label"] / "labelled.jsonl",
            graders=graders,
            spec=spec,
            pack=context.pack,
            key=context.key,
            inputs=inputs,
            out=context.out,
            work=context.work,
            progress=context.progress,
            opener=decoder_of(spec, context.pack),
        )
    return {"headline": headline(report), "underTest": report.under_test, "sessions": report.data.sessions}


def evaluate_models(
    *,
    models: Mapping[str, Path],
    labelled: Path,
    graders: Graders,
    spec: RunSpec,
    pack: Pack,
    key: str,
    inputs: Mapping[str, Path],
    out: Path,
    work: Path,
    progress: Progress,
    opener: Opener,
) -> Report:
    """Evaluate the model folders of `models`, in the order they were trained in, and write everything to `out`.

    `work` keeps the journal of an attempt with the same arguments. `inputs` are folders of upstream stages whose
    training logs and quarantine files the report shows (may be empty). Raises StageError and InputError.
    """
    bench = Bench(
        held_out=read_held_out(labelled, pack, max_sessions=spec.evaluate.max_sessions),
        pack=pack,
        reporting=graders.reporting,
        rewarding=graders.rewarding,
        settings=spec.evaluate,
        seed=spec.train.seed,
        opener=opener,
        work=work,
        progress=progress,
    )
    evaluated = []
    for name, model in models.items():
        evaluated.append(evaluate_policy(name, model, bench))
        if name != "base":  # what an untrained model says may well be beyond any grader
            _require_grades(evaluated[-1], spec.grader.max_missing_share)
    report = assemble(evaluated, bench=bench, spec=spec, key=key, agreement=graders.agreement, inputs=inputs)
    write_records(
        out / "decisions.jsonl", (row for one in evaluated for rows in one.decisions.values() for row in rows)
    )
    if spec.evaluate.replay:
        write_records(out / "replay.jsonl", (row for one in evaluated for row in one.replays))
    (out / "report.json").write_text(report.model_dump_json(indent=1) + "\n", encoding="utf-8")
    render(out / "report.json", out / "report.html")
    return report


@contextmanager
def open_graders(folder: Path, *, settings: GraderSettings, pack: Pack, work: Path) -> Iterator[Graders]:
    """What the grader stage published in `folder`, in this process or behind the addresses of the manifest. `work` is
    where a judge's answers are kept."""
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


def _require_grades(evaluated: Evaluated, bound: float) -> None:
    missing = evaluated.report.decodings["greedy"].missing
    if missing.share > bound:
        rows = [(row.missing("reporting"), row.response) for row in evaluated.decisions["greedy"]]
        raise TooManyMissing(
            f"policy {evaluated.name}: {missing.count} grades are missing ({missing.share:.0%}, allowed {bound:.0%}); "
            f"{describe_missing([(reason, text) for reason, text in rows if reason is not None])}. {REMEDY}"
        )
