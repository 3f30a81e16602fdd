"""`lta pack`: what an existing pack misses."""

from __future__ import annotations

from pathlib import Path

import click
from rich.console import Console

from learntoask.cli.options import PATH
from learntoask.core.documents.text_file import read_document
from learntoask.core.errors import InputError
from learntoask.core.pack import parse_pack

_LISTED = 8


@click.group
def pack() -> None:
    """Compare a pack with logs."""


@pack.command
@click.argument("source", help="Run, its manifest, or a file of logs.")
@click.option("--pack", "pack_file", type=PATH, help="The pack (YAML); that of the run by default.")
@click.option("--apply", is_flag=True, help="Write the changes into the pack.")
def suggest(source: str, pack_file: Path | None, apply: bool) -> None:
    """Show as a diff what the logs suggest to change: missing patterns, wrong ones, and new fields."""
    # torch and scikit-learn load only when the command runs
    from learntoask.induction.from_logs import suggest_from_logs  # noqa: PLC0415
    from learntoask.induction.update.changes import NewField, NewPattern, pack_changes  # noqa: PLC0415
    from learntoask.induction.update.edit import diff, edited  # noqa: PLC0415

    logs, path = _files(source, pack_file)
    text = read_document(path, what="domain pack")
    existing = parse_pack(text, where=str(path))
    console = Console(stderr=True, highlight=False)
    found = suggest_from_logs(
        logs, pack=existing, say=lambda line: console.print(line, style="dim", markup=False)
    )
    review = pack_changes(existing, found)
    new = edited(text, review.changes, where=str(path))
    click.echo(diff(text, new, name=str(path)), nl=False)
    patterns = sum(isinstance(change, NewPattern) for change in review.changes)
    fields = sum(isinstance(change, NewField) for change in review.changes)
    wrong = len(review.changes) - patterns - fields
    console.print(
        f"{patterns} patterns to add, {wrong} to remove that mostly find another field, {fields} new fields",
        markup=False,
    )
    if review.unused:
        console.print(f"{len(review.unused)} patterns match no question of these logs:", markup=False)
        for task, field, pattern in review.unused[:_LISTED]:
            console.print(f"  {task}: {field}: {pattern}", markup=False)
    if review.unmatched:
        console.print("questions that stay without a field:", markup=False)
        for question, count in review.unmatched[:_LISTED]:
            console.print(f"  {count} × {question[:100]}", markup=False)
    if apply and review.changes:
        part = path.with_name(path.name + ".part")
        part.write_text(new, encoding="utf-8")
        part.replace(path)
        console.print(f"written to {path}; `lta data check` shows what changes", markup=False)
    elif review.changes:
        console.print("--apply writes the changes into the pack", markup=False)


def _files(source: str, pack_file: Path | None) -> tuple[Path, Path]:
    """Return the logs and the pack that the arguments mean."""
    from learntoask.local.view import view  # noqa: PLC0415
    from learntoask.runner.home import home_folder, run_names  # noqa: PLC0415

    home = home_folder()
    is_run = source in run_names(home) or Path(source).suffix in (".yaml", ".yml")
    if not is_run:
        if pack_file is None:
            raise InputError(
                f"{source} is no run, so give the pack to compare its sessions with: --pack pack.yaml"
            )
        return Path(source), pack_file
    shown = view(source, home=home)
    written = shown.sources.spec.pack.uri
    if pack_file is None and ":" in written:
        raise InputError(f"the pack of {source} is at {written}; give a copy of it: --pack pack.yaml")
    return shown.sources.files["dataset"], pack_file or shown.sources.path.parent / written
