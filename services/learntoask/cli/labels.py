"""`lta data labels`: labelled sessions as one reads a chat, with the label of each decision point."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import click
from rich.console import Console
from rich.text import Text

from learntoask.cli.options import PATH
from learntoask.core.errors import InputError
from learntoask.core.json_lines import read_records
from learntoask.core.manifest import Dataset
from learntoask.core.pack import Pack, Roles, load_pack
from learntoask.core.records import LabelledSession, Sample
from learntoask.labeling.labellers.choice import LabellerChoice, Method
from learntoask.labeling.logs.reader import LogReader
from learntoask.labeling.samples import make_samples
from learntoask.local.view import view
from learntoask.runner.home import home_folder, run_names


@click.command
@click.argument("source", help="Run that has labelled, or a file of logs.")
@click.option("--pack", type=PATH, help="Domain pack (YAML) that labels a file of logs.")
@click.option(
    "--method",
    type=click.Choice(["annotated", "lexicon"]),
    help="Labeller of a file of logs; by default what each session holds.",
)
@click.option("--sessions", type=click.IntRange(min=1), default=5, help="Number of sessions to show.")
@click.option("--session", "session_id", help="Show the session with this id.")
def labels(
    source: str, pack: Path | None, method: Method | None, sessions: int, session_id: str | None
) -> None:
    """Show labelled sessions, each decision point with what is still to be asked there, or the stop."""
    home = home_folder()
    if pack is not None:
        rules = load_pack(pack)
        found = _labelled_file(Path(source), rules, method)
    elif Path(source).exists() and source not in run_names(home):
        raise InputError(f"{source} is a file; give the pack that labels it: --pack pack.yaml")
    else:
        if method is not None:
            raise InputError("--method chooses the labeller of a file, and a run has labelled with its own")
        shown = view(source, home=home)
        rules = shown.sources.pack
        found = read_records(shown.trained_with("label") / "labelled.jsonl", LabelledSession)
    if session_id is not None:
        found = (labelled for labelled in found if labelled.session.session_id == session_id)
    console = Console(highlight=False)
    count = 0
    for labelled in islice(found, sessions):
        count += 1
        for line in session_lines(labelled, rules.roles):
            console.print(line, soft_wrap=True)
        console.print()
    if not count:
        what = f"no session {session_id!r}" if session_id is not None else "no labelled session"
        raise InputError(f"{source} holds {what}; `lta data check` says which lines are set aside and why")


def session_lines(labelled: LabelledSession, roles: Roles) -> Iterator[Text]:
    """Yield the lines of a session: its messages, and under each expert turn its label."""
    session = labelled.session
    of_turn = {sample.turn: sample for sample in labelled.samples}
    turn_at = {turn.start: index for index, turn in enumerate(session.turns)}
    yield Text(f"{session.session_id} · task {session.task} · {session.end.value}", style="bold")
    for index in range(len(session.messages) + 1):
        if index in turn_at:
            yield _label(of_turn.get(turn_at[index]))
        if index < len(session.messages) and (message := session.messages[index]).content:
            name = roles.user if message.role == "user" else roles.expert
            style = "cyan" if message.role == "user" else "green"
            yield Text.assemble((f"{name}: ", style), message.content)


def _label(sample: Sample | None) -> Text:
    """Return the line for a decision point, which stands before the expert's turn."""
    if sample is None:
        return Text("  · nothing left to ask here: no sample", style="dim")
    if sample.decision == "stop":
        return Text("  ■ stop: the expert acts", style="bold magenta")
    items = ", ".join(f"{item.field} = {item.value}" for item in sample.remaining)
    asked = f"; this turn asks for {', '.join(sample.requested)}" if sample.requested else ""
    return Text(f"  ▸ still to ask: {items}{asked}", style="yellow")


def _labelled_file(path: Path, pack: Pack, method: Method | None) -> Iterator[LabelledSession]:
    choice = LabellerChoice(pack, method)
    for entry in LogReader(pack, Dataset(uri=str(path))).read(path):
        if entry.session is None:
            continue
        labeller = choice.for_session(entry.session)
        yield make_samples(
            entry.session,
            labeller.label(entry.session),
            stop_at=pack.stop_at,
            require_marker=pack.require_end_marker,
            provenance=labeller.provenance,
        ).labelled
