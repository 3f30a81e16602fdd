"""`lta grader`: the graders of a run as a service, and what one of them is worth."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Literal

import typer
from pydantic import JsonValue
from rich.console import Console
from rich.table import Table

from learntoask.core.errors import InputError
from learntoask.core.manifest import LlmJudge
from learntoask.core.pack import Pack, load_pack
from learntoask.local.view import view
from learntoask.runner.run_folder import home_folder

_Graders = Annotated[
    str, typer.Argument(help="Name of a run or its manifest, or a folder that a grader stage has published.")
]
_Pack = Annotated[Path | None, typer.Option("--pack", help="With a folder: the domain pack.")]
_Pem = Path | None


def register(app: typer.Typer) -> None:
    grader = typer.Typer(help="The graders of a run: serve them, probe them.", no_args_is_help=True)
    grader.command()(serve)
    grader.command()(probe)
    app.add_typer(grader, name="grader")


def serve(
    graders: _Graders,
    pack: _Pack = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on; 0 takes a free one.")] = None,
    metrics_port: Annotated[
        int | None, typer.Option(help="Port of the Prometheus endpoint; none by default.")
    ] = None,
    token_file: Annotated[
        Path | None, typer.Option("--token-file", help="File with the bearer token.")
    ] = None,
    tls_certificate: Annotated[_Pem, typer.Option(help="PEM certificate chain; turns TLS on.")] = None,
    tls_key: Annotated[_Pem, typer.Option(help="PEM private key.")] = None,
    tls_client_ca: Annotated[_Pem, typer.Option(help="PEM authority of client certificates (mTLS).")] = None,
    journals: Annotated[
        Path | None, typer.Option(help="Folder that keeps a judge's answers over restarts.")
    ] = None,
) -> None:
    """Serve both graders over gRPC until SIGTERM or Ctrl-C. More settings: LTA_GRADER_SERVE_… in the environment."""
    from learntoask.grader_service.config import read_config  # noqa: PLC0415 - grpc
    from learntoask.grader_service.process import run_service  # noqa: PLC0415

    config = read_config(
        os.environ,
        {
            "host": host,
            "port": port,
            "metrics_port": metrics_port,
            "token_file": token_file,
            "tls_certificate": tls_certificate,
            "tls_key": tls_key,
            "tls_client_ca": tls_client_ca,
            "journals": journals,
        },
    )
    folder, its_pack, judge = _published(graders, pack)
    run_service(
        config,
        folder,
        its_pack,
        judge=judge,
        ready=lambda address: typer.echo(f"grading on {address}", err=True),
    )


def probe(
    run: Annotated[str, typer.Argument(help="Name of a run or its manifest; its labels must be there.")],
    role: Annotated[
        Literal["rewarding", "reporting", "manifest"],
        typer.Option(help="A published grader, or the judge that the manifest names now."),
    ] = "rewarding",
    questions: Annotated[int, typer.Option(min=1, help="Held-out expert questions, at most.")] = 200,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Put held-out questions to a grader with right and wrong targets, and in other ways: does it judge?"""
    from learntoask.grading.probe import probe_grader  # noqa: PLC0415 - numpy, and maybe a sentence encoder

    shown = view(run, home=home_folder())
    console = Console(stderr=as_json, highlight=False)
    with TemporaryDirectory() as work, console.status("asking"):
        figures = probe_grader(
            None if role == "manifest" else shown.output("grader") / role,
            judge=shown.sources.spec.grader.llm,
            labelled=shown.output("label") / "labelled.jsonl",
            pack=shown.sources.pack,
            at_most=questions,
            work=Path(work),
        )
    if as_json:
        typer.echo(json.dumps(figures, indent=2))
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
        words = f"{path}{name.replace('_', ' ')}"
        if isinstance(figure, dict) and "value" not in figure:
            yield from _flat(figure, f"{words}, ")
        else:
            yield words, figure


def _published(name: str, pack: Path | None) -> tuple[Path, Pack, LlmJudge | None]:
    """The output of a grader stage, the pack it belongs to, and the settings of its judge as they are now."""
    if Path(name).is_dir():
        if pack is None:
            raise InputError(f"{name} is a folder; give the domain pack of its graders with --pack")
        return Path(name), load_pack(pack), None
    shown = view(name, home=home_folder())
    return shown.output("grader"), shown.sources.pack, shown.sources.spec.grader.llm
