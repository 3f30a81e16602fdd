"""`lta review`: the page on which people answer the questions of a run, and its answers as files."""

from __future__ import annotations

import os
import sys
import time
import webbrowser
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, BinaryIO

import click

from learntoask.cli.options import json_option
from learntoask.core.errors import InputError
from learntoask.core.pod_contract import LTA_STAGE
from learntoask.core.stages.review import second_person
from learntoask.local.reviews import review_in
from learntoask.local.view import RunView, view
from learntoask.runner.home import home_folder
from learntoask.runner.review import RunReview

_DAYS = 86_400.0
_VALID_DAYS = 30.0  # of a link
_KINDS = {
    "asks_for": "what a message asks for",
    "still_needed": "the rest of a conversation",
    "is_stop": "act, or ask first",
    "better": "which answer is better",
}
_SPLITS = {"anchor": "to measure", "show": "to learn from", "search": "to learn from"}
run_argument = click.argument("run", metavar="RUN")


class RunOrCommand(click.Group):
    """A group whose first argument may be a run, which then is opened: `lta review clinic`."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in self.commands and not args[0].startswith("-"):
            args = ["open", *args]
        return super().resolve_command(ctx, args)


@click.group(cls=RunOrCommand, no_args_is_help=True)
def review() -> None:
    """Answer the questions of a run.

    `lta review RUN` is short for `lta review open RUN`: it serves the page on this machine and opens it in a browser.

    In a cluster link, status, export and import are called in the page's pod, such as
    kubectl exec -i deploy/RUN-review-service -- lta review import RUN - < FILE
    """


@review.command(name="open")
@run_argument
@click.option("--reviewer", default="me", show_default=True, help="Your name; answers are kept by name.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="Port; 0 takes a free one.")
@click.option("--browser/--no-browser", default=True, help="Whether a terminal also opens a browser.")
@click.option("--practice", is_flag=True, help="Ask the same questions for practice; no answer is kept.")
def open_page(run: str, reviewer: str, host: str, port: int, browser: bool, practice: bool) -> None:
    """Serve the page of a run on this machine, print your link, and open it in a browser.

    Ctrl-C ends the page. Answers are kept, and `lta run` goes on by itself once none is missing.
    """
    from learntoask.review.page.app import ReviewPage  # noqa: PLC0415 - starlette
    from learntoask.review.page.guideline import wording_of  # noqa: PLC0415
    from learntoask.review.page.running import recorded  # noqa: PLC0415
    from learntoask.review.page.server import bind, link_of, serve  # noqa: PLC0415

    shown = view(run, home=home_folder())
    key = _link_key(shown)
    with TemporaryDirectory() as scratch, ExitStack() as stack:
        asked = review_of(shown, at=Path(scratch) if practice else None)
        page = ReviewPage(asked.queue, wording_of(shown.sources.pack, title=shown.folder.name), key)

        def ready(address: str) -> None:
            if not practice:
                stack.enter_context(recorded(_page_record(shown), address))
            person = _person(asked, reviewer, "reviewer", days=_VALID_DAYS)
            link = link_of(address, person, key)
            status = asked.queue.status()
            click.echo(
                f"{status.given} of {status.needed} answers are there. The page, for {reviewer}, "
                f"until {_date(person.expires)}:\n  {link}"
            )
            if browser and sys.stdout.isatty():
                webbrowser.open(link)

        serve(page.app(), bind(host, port), ready=ready)
        if not practice:
            _say_what_is_missing(shown, asked)


@review.command
@run_argument
@click.argument("reviewers", nargs=-1, required=True, metavar="NAME...")
@click.option(
    "--address",
    help="Address under which people reach the page; by default that of the page on this machine.",
)
@click.option(
    "--role",
    type=click.Choice(["reviewer", "adjudicator", "viewer"]),
    default="reviewer",
    show_default=True,
    help="A reviewer answers, an adjudicator decides where reviewers disagree, a viewer only looks.",
)
@click.option(
    "--days",
    type=click.FloatRange(min=0.01),
    default=_VALID_DAYS,
    show_default=True,
    help="Validity in days.",
)
def link(run: str, reviewers: tuple[str, ...], address: str | None, role: str, days: float) -> None:
    """Print a signed link for each person, and until when it is valid. Whoever has a link answers under its name."""
    if os.environ.get(LTA_STAGE):
        from learntoask.pod.review import review_link  # noqa: PLC0415 - starlette

        for name in reviewers:
            click.echo(f"{name}\t{review_link(name, role, days=days, address=address)}")
    else:
        from learntoask.review.page.running import running_address  # noqa: PLC0415
        from learntoask.review.page.server import link_of  # noqa: PLC0415 - starlette

        shown = view(run, home=home_folder())
        asked, key = review_of(shown), _link_key(shown)
        address = address or running_address(_page_record(shown))
        if address is None:
            raise InputError(
                f"no page of run {shown.folder.name!r} is served on this machine: start it with `lta review "
                f"{shown.folder.name}`, or give its address with --address"
            )
        for name in reviewers:
            click.echo(f"{name}\t{link_of(address, _person(asked, name, role, days=days), key)}")
    # Not on the standard output, which scripts read.
    click.echo(f"valid until {_date(time.time() + days * _DAYS)}", err=True)


@review.command
@run_argument
@json_option
def status(run: str, as_json: bool) -> None:
    """Show how many answers are there, how long the rest takes, and how far people agree."""
    found = _asked(run).queue.status()
    if as_json:
        click.echo(found.model_dump_json(indent=2))
        return
    another = second_person(found.by_another)
    click.echo(
        f"{found.given} of {found.needed} answers, about {found.minutes_left:.0f} minutes left"
        + (f", {another} (`lta review link {run} NAME`)" if another else "")
    )
    sums: dict[str, list[int]] = {}
    for count in found.counts:
        what = sums.setdefault(f"{_KINDS.get(count.kind, count.kind)}, {_SPLITS[count.split]}", [0, 0])
        what[0], what[1] = what[0] + count.given, what[1] + count.needed
    for name, (given, needed) in sums.items():
        click.echo(f"  {name:42} {given:4} of {needed:4}")
    for person in found.reviewers:
        pace = "" if person.seconds is None else f", {person.seconds:.0f} s each"
        checks = person.attention.n + person.self_agreement.n
        of_checks = f", {checks} of them checks" if checks else ""
        click.echo(f"  {person.name}: {person.answers} answers{of_checks}{pace}")
        for flag in person.flags:
            click.secho(f"    {flag.message}", fg="yellow")
    for notice in found.notices:
        click.secho(f"  {notice}", fg="yellow")


@review.command
@run_argument
@click.option(
    "--format",
    "form",
    type=click.Choice(["answers", "label-studio", "argilla"]),
    default="answers",
    show_default=True,
    help="Answers as JSON Lines, or the questions for one of the other programs.",
)
@click.option(
    "--out", type=click.Path(dir_okay=False, path_type=Path), help="File; standard output if left out."
)
def export(run: str, form: str, out: Path | None) -> None:
    """Write the answers, or the questions to be answered in another program."""
    from learntoask.review.exchange import export as files  # noqa: PLC0415

    asked = _asked(run)
    if form == "answers":
        content = files.answers_file(asked.queue.responses())
    else:
        write = files.label_studio_tasks if form == "label-studio" else files.argilla_records
        content = write({item.digest: item for item in asked.items})
    if out is None:
        click.echo(content, nl=False)
    else:
        out.write_text(content, encoding="utf-8")
        click.echo(f"{out}: {len(content.splitlines())} lines")


@review.command(name="import")
@run_argument
@click.argument("file", type=click.File("rb"))
@click.option(
    "--name", "names", multiple=True, metavar="OTHER=NAME", help="Name here of a person in the file."
)
def import_file(run: str, file: BinaryIO, names: tuple[str, ...]) -> None:
    """Add the answers of a file, or of the standard input (-).

    The file is one of `lta review export`, Label Studio or Argilla.
    """
    from learntoask.review.exchange.import_answers import import_answers  # noqa: PLC0415

    asked = _asked(run)
    if any("=" not in name for name in names):
        raise click.UsageError("--name: write the name in the file, =, and the name here")
    reviewers = {other: name for other, _, name in (pair.partition("=") for pair in names)}
    found = import_answers(asked.queue, file.read(), reviewers=reviewers)
    click.echo(f"{found.taken} answers are new, {found.known} were there already")
    for refusal in found.refusals:
        click.secho(f"{file.name}: {refusal}", fg="red", err=True)
    if found.refusals:
        raise InputError(f"{file.name}: {len(found.refusals)} parts were refused; all others are imported")


@review.command
@run_argument
def finish(run: str) -> None:
    """End the review with the answers that are there. `lta run` then goes on."""
    shown = view(run, home=home_folder())
    asked = review_of(shown)
    found = asked.queue.status()
    published = asked.publish(found, now=time.time())
    click.echo(
        f"{found.given} of {found.needed} answers are published ({published.output[:12]}); "
        f"lta run {shown.sources.path} goes on with them"
    )


def _asked(run: str) -> RunReview:
    """Return the review of a run on this machine, or in a cluster that of the pod that this command is called in."""
    if not os.environ.get(LTA_STAGE):
        return review_of(view(run, home=home_folder()))
    from learntoask.pod.environment import read_environment  # noqa: PLC0415
    from learntoask.pod.review import open_in_pod  # noqa: PLC0415 - starlette

    return open_in_pod(read_environment(os.environ))


def review_of(shown: RunView, *, at: Path | None = None) -> RunReview:
    """Return the review of a run. Raises InputError if it has none, or none yet.

    The answers are in the folder `at`, by default that of the run.
    """
    if shown.sources.spec.calibrate is None:
        raise InputError(f"run {shown.folder.name!r} asks nobody; add `calibrate: {{}}` to its spec")
    stage = next(status for status in shown.plan.stages if status.name == "review")
    drawn = shown.publications.get("draw")
    if drawn is None or stage.key is None:
        raise InputError(
            f"run {shown.folder.name!r} has not drawn its questions yet; `lta run {shown.sources.path}` does"
        )
    return review_in(shown.folder, shown.store, shown.sources, key=stage.key, drawn=drawn, at=at)


def _page_record(shown: RunView) -> Path:
    return shown.folder.path / "reviews" / "page.address"


def _date(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(seconds))


def _link_key(shown: RunView) -> bytes:
    from learntoask.review.page.access import read_key  # noqa: PLC0415

    return read_key(shown.folder.path / "reviews" / "links.key", create=True)


def _person(asked: RunReview, name: str, role: str, *, days: float) -> Any:
    from learntoask.review.page.access import Role, invited  # noqa: PLC0415

    return invited(name, role=Role(role), queue=asked.queue.name, days=days)


def _say_what_is_missing(shown: RunView, asked: RunReview) -> None:
    found = asked.queue.status()
    if found.missing:
        another = second_person(found.by_another)
        more = (
            f", {another} (`lta review link {shown.folder.name} NAME` while the page runs)" if another else ""
        )
        click.echo(
            f"{found.missing} answers are still missing{more}; `lta review {shown.folder.name}` goes on."
        )
    else:
        click.echo(f"All answers are there; `lta run {shown.sources.path}` goes on with them.")
