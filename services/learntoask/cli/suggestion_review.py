"""The page of `lta init --review`, served until all cards have answers or Ctrl-C."""

from __future__ import annotations

import sys
import time
import webbrowser
from pathlib import Path

import click

from learntoask.induction.people.queue import FOLDER, open_queue
from learntoask.induction.suggestion import Suggestion

_LOOK_EVERY = 0.3  # seconds
_FAREWELL = 5.0  # seconds in which the page can show that all answers are in


def ask_people(
    found: Suggestion, folder: Path, *, title: str, reviewer: str, port: int, browser: bool
) -> None:
    """Ask `reviewer` the cards of a suggestion, whose answers are kept in `folder`. Raises StoreError, InputError."""
    # starlette
    from learntoask.core.pack import parse_pack  # noqa: PLC0415
    from learntoask.induction.output.pack_yaml import pack_yaml  # noqa: PLC0415
    from learntoask.review.page.access import Role, invited, read_key  # noqa: PLC0415
    from learntoask.review.page.app import ReviewPage  # noqa: PLC0415
    from learntoask.review.page.guideline import wording_of  # noqa: PLC0415
    from learntoask.review.page.server import bind, in_thread, link_of  # noqa: PLC0415

    queue = open_queue(folder)
    asked = {item.digest for item in found.cards}
    queue.retire(queue.unanswered() - asked, reason="another suggestion was made since")
    queue.add(found.cards)
    key = read_key(folder / FOLDER / "links.key", create=True)
    pack = parse_pack(pack_yaml(found, name=title), where="the suggested pack")
    person = invited(reviewer, role=Role.REVIEWER, queue=queue.name, days=1)
    page = ReviewPage(queue, wording_of(pack, title=title), key)
    with in_thread(page.app(), bind("127.0.0.1", port)) as address:
        link = link_of(address, person, key)
        click.echo(
            f"{len(found.cards)} questions, about {queue.status().minutes_left:.0f} minutes. Answer them on this page; "
            f"Ctrl-C goes on with the answers that are there:\n  {link}"
        )
        if browser and sys.stdout.isatty():
            webbrowser.open(link)
        try:
            while queue.status().missing:
                time.sleep(_LOOK_EVERY)
            time.sleep(_FAREWELL)
        except KeyboardInterrupt:
            click.echo()
    status = queue.status()
    click.echo(f"{status.given} of {status.needed} answers are there")
