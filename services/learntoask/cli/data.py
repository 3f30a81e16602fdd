"""`lta data`: checks logs before a run, and uploads files to a store."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from learntoask.cli.cluster.upload import given_store, upload_file
from learntoask.cli.options import PATH, json_option
from learntoask.core.errors import InputError
from learntoask.core.manifest import Dataset, StoreSettings, load_manifest
from learntoask.core.pack import load_pack
from learntoask.core.prompt import check_prompts
from learntoask.grading.examples import expert_questions
from learntoask.grading.guard_check import FAIL_ABOVE, GUARD_REMEDY, WARN_ABOVE, GuardCheck
from learntoask.labeling.check import CheckReport, CheckSettings, check_file
from learntoask.labeling.labellers.choice import Method


@click.group
def data() -> None:
    """Check logs before a run; upload files to a store."""


@data.command
@click.argument("file", type=PATH, help="Logs, one JSON session a line.")
@click.option("--pack", type=PATH, required=True, help="Domain pack (YAML).")
@click.option("--manifest", type=PATH, help="Manifest of the run whose settings the logs have to fit.")
@click.option(
    "--method",
    type=click.Choice(["annotated", "lexicon"]),
    help="Labeller; by default that of the manifest, or what each session holds.",
)
@json_option
def check(file: Path, pack: Path, manifest: Path | None, method: Method | None, as_json: bool) -> None:
    """Validate and label every line without writing anything. Exit with 2 if lines would be quarantined."""
    spec = load_manifest(manifest).spec if manifest is not None else None
    settings = CheckSettings.of(spec) if spec is not None else CheckSettings()
    if method is not None:
        settings = dataclasses.replace(settings, method=method)
    dataset = spec.dataset if spec is not None else Dataset(uri=str(file))
    rules = load_pack(pack)
    check_prompts(rules)
    guard = GuardCheck(rules)
    report = check_file(
        file,
        rules,
        dataset,
        settings=settings,
        examine=lambda labelled: guard.add(expert_questions(labelled, rules)),
    )
    if as_json:
        found = {**dataclasses.asdict(report), "experts": guard.figures(), "ok": report.ok}
        click.echo(json.dumps(found, indent=2))
    else:
        _present(Console(highlight=False), report, guard)
    if not report.ok:
        bad, failed = sum(report.quarantined.values()), sum(report.failed_labels.values())
        then = (
            "A run goes on without them"
            if report.sessions
            else "A run would stop, because no session is left"
        )
        raise InputError(
            f"{file}: {report.sessions} sessions; {bad} lines would be quarantined and {failed} turns could not be "
            f"labelled. {then}",
            reason="LogsHaveFaults",
        )


@data.command("push")
@click.argument("files", type=PATH, nargs=-1, required=True, help="Logs, packs, folders with a base model.")
@click.option("--store", help="s3://bucket/prefix; LTA_STORE by default.")
def push(files: tuple[Path, ...], store: str | None) -> None:
    """Upload files for runs in a cluster and print their addresses. Files that the store has are not sent again."""
    address = given_store(StoreSettings(), Path.cwd(), store)
    console = Console(stderr=True, highlight=False)
    for file in files:
        click.echo(upload_file(file, address, console))


def _present(console: Console, report: CheckReport, guard: GuardCheck) -> None:
    ends = ", ".join(f"{count} {end}" for end, count in report.ends.items())
    console.print(f"{report.lines} lines, {report.sessions} sessions ({ends})")
    console.print(
        f"{report.decision_points} decision points: {report.continue_samples} continue, {report.stop_samples} stop, "
        f"{report.dropped_empty} with nothing left to ask"
    )
    console.print(report.labeller_reason, markup=False)
    if report.html_messages:
        console.print(f"{report.html_messages} messages hold HTML; a run reads them without its tags")
    if report.cleaned_messages:
        console.print(
            f"{report.cleaned_messages} messages hold invisible or unusual characters; a run reads them without"
        )
    if report.unnamed_questions:
        console.print(
            f"{report.unnamed_questions} of {report.questions} questions match no pattern of the pack"
        )
    if report.coverage:
        table = Table(title="fields", title_justify="left")
        for heading in ("task", "field", "sessions", "asked in", "given in"):
            table.add_column(heading, justify="left" if heading in ("task", "field") else "right")
        for row in report.coverage:
            table.add_row(row.task, row.field, str(row.sessions), str(row.asked), str(row.given))
        console.print(table)
    if guard.questions:
        console.print(str(guard), markup=False)
    if guard.refused_share > WARN_ABOVE:
        stops = "A run would stop before it trains. " if guard.refused_share > FAIL_ABOVE else ""
        console.print(f"warning: {stops}{GUARD_REMEDY}", markup=False, style="yellow")
    for warning in report.warnings:
        console.print(f"warning: {warning}", markup=False, style="yellow")
    for problem in report.problems:
        times = f" ({problem.times} times on this line)" if problem.times > 1 else ""
        console.print(f"line {problem.line}: {problem.reason}: {problem.message}{times}", markup=False)
