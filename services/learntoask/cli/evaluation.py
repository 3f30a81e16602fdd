"""`lta evaluate`, `lta compare`, `lta report`: what a policy is worth."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer
from rich.console import Console

from learntoask.cli.metrics_table import metrics_table
from learntoask.core.digest import digest_of
from learntoask.core.errors import InputError
from learntoask.core.stages.contract import StageContext
from learntoask.local.display import StepDisplay
from learntoask.local.view import view
from learntoask.runner.home import home_folder

_RunArgument = Annotated[str, typer.Argument(help="Name of a run or its manifest.")]
_Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def register(app: typer.Typer) -> None:
    for command in (evaluate, compare, report):
        app.command()(command)


def evaluate(
    run: _RunArgument,
    model: Annotated[Path, typer.Option("--model", help="Model folder (Hugging Face layout) to evaluate.")],
    out: Annotated[Path, typer.Option("--out", help="Folder for report and decisions.")],
    as_json: _Json = False,
) -> None:
    """Evaluate any model on the held-out sessions of a run, with that run's graders and pack."""
    if not (model / "config.json").is_file():
        raise InputError(f"--model: {model} is no model folder (it has no config.json)")

    from learntoask.evaluation.report.assemble import headline  # noqa: PLC0415
    from learntoask.evaluation.stage import evaluate_models, open_graders  # noqa: PLC0415
    from learntoask.evaluation.torch_policy import policy_loader  # noqa: PLC0415 - torch, only where a model is run

    shown = view(run, home=home_folder())
    spec, pack = shown.sources.spec, shown.sources.pack
    out.mkdir(parents=True, exist_ok=True)
    console = Console(stderr=as_json, highlight=False)
    with (
        TemporaryDirectory() as work,
        StepDisplay(console) as progress,
        open_graders(shown.output("grader"), settings=spec.grader, pack=pack, work=Path(work)) as graders,
    ):
        context = StageContext(
            stage="evaluate",
            key=digest_of({"model": str(model.resolve()), "run": run}),
            spec=spec,
            pack=pack,
            inputs={"label": shown.output("label")},
            files={},
            out=out,
            work=Path(work),
            progress=progress,
        )
        found = evaluate_models(
            context,
            models={model.resolve().name: model},
            graders=graders,
            load_policy=policy_loader(spec, pack),
        )
    if as_json:
        typer.echo(json.dumps(headline(found), indent=2))
    else:
        console.print(metrics_table(headline(found)))
        console.print(f"Report: [bold]{out / 'report.html'}[/]")


def compare(
    a: Annotated[str, typer.Argument(help="A run, or a folder with report.json and decisions.jsonl.")],
    b: Annotated[str, typer.Argument(help="The other one.")],
    as_json: _Json = False,
) -> None:
    """Put two runs side by side, with the significance of the differences (B − A)."""
    from learntoask.evaluation.compare import compare as compared  # noqa: PLC0415 - numpy and the report models
    from learntoask.evaluation.compare import comparison_table  # noqa: PLC0415

    found = compared(_evaluation(a), _evaluation(b))
    if as_json:
        typer.echo(found.model_dump_json(indent=2))
        return
    console = Console(highlight=False)
    console.print(comparison_table(found))
    console.print(f"{found.shared} sessions in both, {found.only_a} only in A, {found.only_b} only in B")
    if not found.same_grader:
        console.print(
            "[yellow]The two were graded by different graders: content differences may be the graders'.[/]"
        )
    for path, (old, new) in found.settings.items():
        console.print(f"  {path}: {json.dumps(old)} → {json.dumps(new)}", markup=False)


def report(
    run: Annotated[str, typer.Argument(help="A run, or a folder with report.json.")],
    out: Annotated[Path, typer.Option("--out", help="Where to write the page.")] = Path("report.html"),
) -> None:
    """Write the HTML report of a run to a file."""
    from learntoask.evaluation.report.html import render  # noqa: PLC0415

    folder = _evaluation(run)
    if (folder / "report.html").is_file():
        shutil.copyfile(folder / "report.html", out)
    else:
        render(folder / "report.json", out)
    typer.echo(str(out))


def _evaluation(name: str) -> Path:
    """The folder of an evaluation: given as such, or published by a run."""
    return (
        Path(name)
        if (Path(name) / "report.json").is_file()
        else view(name, home=home_folder()).output("evaluate")
    )
