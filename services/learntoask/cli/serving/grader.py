"""`lta grader`: serves the graders of a run, or measures how well one of them judges."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import click
from pydantic import JsonValue
from rich.console import Console
from rich.table import Table

from learntoask.cli.options import PATH, json_option
from learntoask.cli.serving.flags import server_options
from learntoask.core.errors import InputError
from learntoask.core.manifest import LlmJudge
from learntoask.core.pack import Pack, load_pack
from learntoask.local.view import view
from learntoask.runner.home import home_folder


@click.group
def grader() -> None:
    """Serve the graders of a run over gRPC, or probe them."""


@grader.command
@click.argument(
    "graders", help="Name of a run or its manifest, or a folder that a grader stage has published."
)
@click.option("--pack", type=PATH, help="With a folder: the domain pack.")
@server_options
@click.option("--journals", type=PATH, help="Folder that keeps a judge's answers over restarts.")
def serve(graders: str, pack: Path | None, **flags: Any) -> None:
    """Serve both graders over gRPC until SIGTERM or Ctrl-C. Environment variables LTA_GRADER_SERVE_… have more
    settings."""
    from learntoask.grader_service.config import read_config  # noqa: PLC0415 - grpc
    from learntoask.grader_service.process import run_service  # noqa: PLC0415

    config = read_config(os.environ, flags)
    folder, pack_of_graders, judge = _published_graders(graders, pack)
    run_service(
        config,
        folder,
        pack_of_graders,
        judge=judge,
        ready=lambda address: click.echo(f"grading on {address}", err=True),
    )


@grader.command
@click.argument("run", help="Name of a run or its manifest; it must have published its labels.")
@click.option(
    "--role",
    type=click.Choice(["rewarding", "reporting", "manifest"]),
    default="rewarding",
    help="A published grader, or the judge that the manifest names now.",
)
@click.option(
    "--questions",
    type=click.IntRange(min=1),
    default=200,
    help="Largest number of held-out expert questions.",
)
@json_option
def probe(run: str, role: str, questions: int, as_json: bool) -> None:
    """Measure whether a grader tells right targets of held-out questions from wrong ones, and more."""
    from learntoask.grading.probe import probe_grader  # noqa: PLC0415 - numpy, and maybe a sentence encoder

    shown = view(run, home=home_folder())
    console = Console(stderr=as_json, highlight=False)
    with TemporaryDirectory() as work, console.status("asking"):
        figures = probe_grader(
            None if role == "manifest" else shown.trained_with("grader") / role,
            judge=shown.sources.spec.grader.llm,
            labelled=shown.trained_with("label") / "labelled.jsonl",
            pack=shown.sources.pack,
            at_most=questions,
            work=Path(work),
        )
    if as_json:
        click.echo(json.dumps(figures, indent=2))
    else:
        console.print(_table(figures))


def _table(figures: dict[str, JsonValue]) -> Table:
    table = Table("figure", "value", "95 %", "n")
    for name, figure in _flat(figures):
        if isinstance(figure, dict):
            low, high, n = (figure.get(key) for key in ("low", "high", "n"))
            table.add_row(
                name, f"{figure['value']}", f"{low} – {high}" if low is not None else "", str(n or "")
            )
        else:
            table.add_row(name, "–" if figure is None else str(figure), "", "")
    return table


def _flat(figures: dict[str, JsonValue], path: str = "") -> Iterator[tuple[str, JsonValue]]:
    for name, figure in figures.items():
        text = f"{path}{name.replace('_', ' ')}"
        if isinstance(figure, dict) and "value" not in figure:
            yield from _flat(figure, f"{text}, ")
        else:
            yield text, figure


def _published_graders(name: str, pack: Path | None) -> tuple[Path, Pack, LlmJudge | None]:
    """Return the output of a grader stage, the pack it belongs to, and the present settings of its judge."""
    if Path(name).is_dir():
        if pack is None:
            raise InputError(f"{name} is a folder; give the domain pack of its graders with --pack")
        return Path(name), load_pack(pack), None
    shown = view(name, home=home_folder())
    return shown.trained_with("grader"), shown.sources.pack, shown.sources.spec.grader.llm
