"""`lta init`: from raw logs to a pack, a manifest and a page that shows what was found."""

from __future__ import annotations

from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from learntoask.cli.options import PATH
from learntoask.core.errors import InputError

FOLDER = Path("learntoask")


@click.command
@click.argument("logs", type=PATH, help="Logs, one JSON session a line.")
@click.option("--out", type=PATH, default=FOLDER, help="Folder for pack.yaml, run.yaml and suggest.html.")
@click.option("--force", is_flag=True, help="Write over files of an earlier `lta init` or of your own.")
@click.option(
    "--llm", metavar="ADDRESS", help="OpenAI-compatible server whose model names and describes the fields."
)
@click.option("--model", help="Name of that model on the server.")
@click.option("--review", is_flag=True, help="Ask you at most 30 questions first, on a page in the browser.")
@click.option("--reviewer", default="me", show_default=True, help="Your name; answers are kept by name.")
@click.option(
    "--port", type=click.IntRange(0, 65535), default=0, help="Port of that page; 0 takes a free one."
)
@click.option("--browser/--no-browser", default=True, help="Whether a terminal also opens a browser.")
def init(
    logs: Path,
    out: Path,
    force: bool,
    llm: str | None,
    model: str | None,
    review: bool,
    reviewer: str,
    port: int,
    browser: bool,
) -> None:
    """Make a pack, a manifest and a page from logs, and check the logs with them.

    The same logs give the same files. No model is needed; --llm only names the fields. Answers that you give with
    --review stay in the folder, and later calls use them.
    """
    # torch and scikit-learn load only when the command runs
    from learntoask.cli.data import check_logs  # noqa: PLC0415
    from learntoask.core.manifest import load_manifest  # noqa: PLC0415
    from learntoask.core.pack import load_pack  # noqa: PLC0415
    from learntoask.induction.from_logs import read_logs  # noqa: PLC0415
    from learntoask.induction.output.files import PACK, PAGE, RUN, check_free, write_files  # noqa: PLC0415
    from learntoask.induction.people.queue import FOLDER as REVIEW  # noqa: PLC0415
    from learntoask.induction.people.queue import said_in  # noqa: PLC0415

    if llm is not None and model is None:
        raise InputError("--llm needs --model, the name of the model on that server")
    console = Console(highlight=False)
    check_free(out, force=force)

    def say(text: str) -> None:
        console.print(text, style="dim", markup=False)

    suggestion = read_logs(logs, say=say)
    if review:
        from learntoask.cli.suggestion_review import ask_people  # noqa: PLC0415

        found = ask_people(suggestion, out, title=logs.name, reviewer=reviewer, port=port, browser=browser)
    else:
        found = suggestion(said_in(out))
    if said := said_in(out):
        say(f"{said.count} answers of people in {out / REVIEW} are taken into account")
    if llm is not None and model is not None:
        from learntoask.induction.model_names import name_by_model  # noqa: PLC0415

        found = name_by_model(found, address=llm, model=model, say=say)
    write_files(found, logs, out)
    _present(console, found)
    console.print()
    console.print(f"Checking {logs} with {out / PACK}, as `lta data check` does:", markup=False)
    spec = load_manifest(out / RUN).spec
    report = check_logs(console, logs, load_pack(out / PACK), spec)
    console.print()
    if not report.sessions:
        console.print("No session is left: see the problems above", style="yellow")
        return
    again = f"lta init {logs}{'' if out == FOLDER else f' --out {out}'} --review --force"
    console.print("Do next:")
    console.print(f"  open {out / PAGE}", markup=False, style="bold")
    if not report.stop_samples:
        console.print(
            f"No session has an end, so a run would fail. `{again}` asks you what the last messages do; or add "
            f"the words with which experts act to actionPatterns in {out / PACK}. Logs that end before the expert acts "
            "need another export.",
            markup=False,
            style="yellow",
        )
        return
    console.print(f"  lta run {out / RUN}", markup=False, style="bold")
    if found.cards and not review:
        console.print(f"`{again}` asks you what would improve the pack most", markup=False)


def _present(console: Console, found: object) -> None:
    from learntoask.induction.suggestion import Suggestion  # noqa: PLC0415

    assert isinstance(found, Suggestion)
    matched = found.questions - found.not_covered.total
    console.print(
        f"{len(found.fields)} fields cover {matched} of {found.questions} questions; "
        f"experts are {', '.join(found.expert_roles)}, users {', '.join(found.user_roles)}",
        markup=False,
    )
    table = Table(title_justify="left")
    for heading in ("field", "asked in", "confidence", "example"):
        table.add_column(heading, justify="right" if heading == "asked in" else "left")
    for field in found.fields:
        example = field.questions[0] if field.questions else ""
        table.add_row(field.name, str(field.evidence.sessions), field.evidence.confidence, example[:60])
    console.print(table)
    if found.ends.markers:
        console.print(
            "sessions end with " + ", ".join(f"{marker} ({count})" for marker, count in found.ends.markers),
            markup=False,
        )
    elif found.ends.actions:
        console.print(f"experts act with {len(found.ends.actions)} phrases", markup=False)
    else:
        console.print(
            "no marker or phrase ends the sessions: the first last turn of the expert that asks nothing counts",
            markup=False,
        )
    if found.task_from:
        console.print(f"{' and '.join(found.task_from)} names {len(found.tasks)} tasks", markup=False)
    for note in found.notes:
        console.print(f"note: {note}", markup=False, style="yellow")
