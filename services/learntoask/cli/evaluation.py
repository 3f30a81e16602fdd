"""`lta evaluate`, `lta compare`, `lta report`: how good policies are."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

import click
from rich.console import Console

from learntoask.cli.metrics_table import metrics_table
from learntoask.cli.options import PATH, json_option, run_argument
from learntoask.core.digest import digest_of
from learntoask.core.errors import InputError
from learntoask.core.stages.contract import StageContext
from learntoask.local.display import StepDisplay
from learntoask.local.view import view
from learntoask.policy.stopping import published_stopping
from learntoask.runner.home import home_folder


@click.command
@run_argument
@click.option("--model", type=PATH, required=True, help="Model folder (Hugging Face layout) to evaluate.")
@click.option("--out", type=PATH, required=True, help="Folder for report and decisions.")
@json_option
def evaluate(run: str, model: Path, out: Path, as_json: bool) -> None:
    """Evaluate any model on the held-out sessions of a run, with that run's graders and pack."""
    if not (model / "config.json").is_file():
        raise InputError(f"--model: {model} is no model folder (it has no config.json)")

    from learntoask.evaluation.report.assemble import headline  # noqa: PLC0415
    from learntoask.evaluation.stage import evaluate_models, open_graders  # noqa: PLC0415
    from learntoask.evaluation.torch_policy import policy_loader  # noqa: PLC0415 - torch, only where a model is run

    shown = view(run, home=home_folder())
    spec, pack = shown.sources.spec, shown.sources.pack
    chosen = spec.train.stop_threshold == "auto"
    stopping = published_stopping(shown.output("grpo")) if chosen else None
    out.mkdir(parents=True, exist_ok=True)
    console = Console(stderr=as_json, highlight=False)
    with (
        TemporaryDirectory() as work,
        StepDisplay(console) as progress,
        open_graders(
            shown.trained_with("grader"), settings=spec.grader, pack=pack, work=Path(work)
        ) as graders,
    ):
        context = StageContext(
            stage="evaluate",
            key=digest_of({"model": str(model.resolve()), "run": run}),
            spec=spec,
            pack=pack,
            inputs={"label": shown.trained_with("label")},
            files={},
            out=out,
            work=Path(work),
            progress=progress,
        )
        found = evaluate_models(
            context,
            models={model.resolve().name: model},
            graders=graders,
            load_policy=policy_loader(spec, pack, stopping),
        )
    if as_json:
        click.echo(json.dumps(headline(found), indent=2))
    else:
        console.print(metrics_table(headline(found)))
        console.print(f"Report: [bold]{out / 'report.html'}[/]")


@click.command
@click.argument("a", help="A run, or a folder with report.json and decisions.jsonl.")
@click.argument("b", help="The run or folder to compare with A.")
@json_option
def compare(a: str, b: str, as_json: bool) -> None:
    """Compare two runs, with the significance of the differences (B − A)."""
    from learntoask.evaluation.compare import compare as compare_reports  # noqa: PLC0415 - numpy
    from learntoask.evaluation.compare import comparison_table  # noqa: PLC0415

    found = compare_reports(_evaluation_folder(a), _evaluation_folder(b))
    if as_json:
        click.echo(found.model_dump_json(indent=2))
        return
    console = Console(highlight=False)
    console.print(comparison_table(found))
    console.print(f"{found.shared} sessions in both, {found.only_a} only in A, {found.only_b} only in B")
    if found.answers[0] != found.answers[1]:
        console.print(
            f"Labels and graders were corrected by people in {_corrected_runs(found.answers)}, so labels differ, too."
        )
    for side, reason in zip("AB", found.published, strict=True):
        if reason is not None:
            console.print(f"{side}: {reason}", markup=False)
    if not found.same_grader:
        console.print(
            "[yellow]The two were graded by different graders: content differences may be the graders'.[/]"
        )
    for path, (old, new) in found.settings.items():
        console.print(f"  {path}: {json.dumps(old)} → {json.dumps(new)}", markup=False)


@click.command
@click.argument("run", help="A run, or a folder with report.json.")
@click.option("--out", type=PATH, default=Path("report.html"), help="File to write.")
def report(run: str, out: Path) -> None:
    """Write the HTML report of a run to a file."""
    from learntoask.evaluation.report.html import render  # noqa: PLC0415

    folder = _evaluation_folder(run)
    if (folder / "report.html").is_file():
        shutil.copyfile(folder / "report.html", out)
    else:
        render(folder / "report.json", out)
    click.echo(str(out))


def _evaluation_folder(name: str) -> Path:
    """Return the folder of an evaluation: `name` itself, or what the run `name` published."""
    return (
        Path(name)
        if (Path(name) / "report.json").is_file()
        else view(name, home=home_folder()).output("evaluate")
    )


def _corrected_runs(answers: tuple[str | None, str | None]) -> str:
    """Name the runs that asked people."""
    if None not in answers:
        return "both runs, by different answers"
    return "A alone" if answers[0] else "B alone"
