"""`lta data`: checks logs before a run, and uploads files to a store."""

from __future__ import annotations

import dataclasses
import json
import textwrap
from itertools import groupby
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from learntoask.cli.cluster.upload import given_store, upload_file
from learntoask.cli.labels import labels
from learntoask.cli.options import PATH, json_option
from learntoask.core.errors import InputError
from learntoask.core.manifest import Dataset, RunSpec, StoreSettings, load_manifest
from learntoask.core.pack import Pack, load_pack
from learntoask.core.prompt import check_prompts
from learntoask.grading.expert_check import ExpertCheck
from learntoask.labeling.check import CheckReport, CheckSettings, check_file
from learntoask.labeling.labellers.choice import Method
from learntoask.serving.records.lines import record_lines
from learntoask.serving.records.served_logs import served_logs

_LISTED = 8  # patterns that match nothing
_SHOWN = 110  # characters of a question
_TASK = 48  # characters of a task's name


@click.group
def data() -> None:
    """Check logs before a run; read their labels; make logs of served conversations; upload files to a store."""


data.add_command(labels)


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
    report = check_logs(
        None if as_json else Console(highlight=False), file, load_pack(pack), spec, method=method
    )
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


def check_logs(
    console: Console | None, file: Path, pack: Pack, spec: RunSpec | None, *, method: Method | None = None
) -> CheckReport:
    """Check the logs for the run `spec`, or for default settings, and print the findings; as JSON without a console."""
    settings = CheckSettings.of(spec) if spec is not None else CheckSettings()
    if method is not None:
        settings = dataclasses.replace(settings, method=method)
    dataset = spec.dataset if spec is not None else Dataset(uri=str(file))
    check_prompts(pack, assess=spec is not None and spec.train.assesses)
    experts = ExpertCheck(pack)
    report = check_file(file, pack, dataset, settings=settings, examine=experts.add)
    experts.finish()
    if console is None:
        found = {**dataclasses.asdict(report), **experts.figures(), "ok": report.ok}
        click.echo(json.dumps(found, indent=2))
    else:
        _present(console, report, experts)
    return report


@data.command("push")
@click.argument("files", type=PATH, nargs=-1, required=True, help="Logs, packs, folders with a base model.")
@click.option("--store", help="s3://bucket/prefix; LTA_STORE by default.")
def push(files: tuple[Path, ...], store: str | None) -> None:
    """Upload files for runs in a cluster and print their addresses. Files that the store has are not sent again."""
    address = given_store(StoreSettings(), Path.cwd(), store)
    console = Console(stderr=True, highlight=False)
    for file in files:
        click.echo(upload_file(file, address, console))


@data.command("served")
@click.argument("records", type=PATH, nargs=-1, required=True, help="conversations-… and outcomes-….jsonl.")
@click.option("--out", type=PATH, required=True, help="File of logs to write.")
def served(records: tuple[Path, ...], out: Path) -> None:
    """Make logs of served conversations. The outcomes that were reported are in the key `outcomes` of each session."""
    found = served_logs(record_lines(records))
    lines = (json.dumps(session, ensure_ascii=False) for session in found.sessions)
    out.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    click.echo(f"{out}: {len(found.sessions)} sessions, {found.with_outcomes} of them with outcomes")
    if not found.with_experts:
        click.echo("no session has a turn of an expert, and a run learns from those alone")
    if found.unknown:
        click.echo(f"{found.unknown} outcomes belong to no conversation of these files")
    if found.ambiguous:
        click.echo(f"{found.ambiguous} outcomes are left out, because several conversations have their id")


def _present(console: Console, report: CheckReport, experts: ExpertCheck) -> None:
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
    _present_patterns(console, report)
    if report.coverage:
        table = Table(title="fields", title_justify="left")
        for heading in ("task", "field", "sessions", "asked in", "given in"):
            table.add_column(heading, justify="left" if heading in ("task", "field") else "right")
        for task, rows in groupby(report.coverage, key=lambda row: row.task):
            # The name stands in the first row alone, because it may be a sentence.
            named = textwrap.shorten(task, _TASK, placeholder="…")
            table.add_section()
            for row in rows:
                table.add_row(named, row.field, str(row.sessions), str(row.asked), str(row.given))
                named = ""
        console.print(table)
    for finding in experts.findings():
        console.print(finding, markup=False)
    for warning in experts.warnings():
        console.print(f"warning: {warning}", markup=False, style="yellow")
    for warning in report.warnings:
        console.print(f"warning: {warning}", markup=False, style="yellow")
    for problem in report.problems:
        console.print(str(problem), markup=False, soft_wrap=True)


def _present_patterns(console: Console, report: CheckReport) -> None:
    """Print the questions that no pattern matches, and the patterns that match no message."""
    if report.unnamed_questions:
        console.print(
            f"{report.unnamed_questions} of {report.questions} questions match no pattern of the pack"
            + (", most often these and others like them:" if report.unmatched else "")
        )
        for group in report.unmatched:
            console.print(f"  {group.count} × {group.example[:_SHOWN]}", markup=False)
    if report.never_matched:
        console.print(f"{len(report.never_matched)} patterns match no message:")
        for task, where, pattern in report.never_matched[:_LISTED]:
            console.print(f"  {task}: {where}: {pattern}", markup=False, soft_wrap=True)
        if len(report.never_matched) > _LISTED:
            console.print(f"  and {len(report.never_matched) - _LISTED} more; --json lists all")
