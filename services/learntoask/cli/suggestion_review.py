"""The page of `lta init --review`, served until nothing is left to ask or Ctrl-C."""

from __future__ import annotations

import sys
import time
import webbrowser
from collections.abc import Callable
from pathlib import Path

import click

from learntoask.induction.people.queue import FOLDER, open_queue, said_in
from learntoask.induction.people.rounds import ROUND, Rounds
from learntoask.induction.people.said import Said
from learntoask.induction.suggestion import Suggestion

_LOOK_EVERY = 0.3  # seconds
_FAREWELL = 5.0  # seconds in which the page can show that all answers are in


def ask_people(
    suggestion: Callable[[Said], Suggestion],
    folder: Path,
    *,
    title: str,
    reviewer: str,
    port: int,
    browser: bool,
) -> Suggestion:
    """Ask `reviewer` the cards of the suggestion that follows from the answers so far, round after round.

    Return the suggestion that follows from all answers, which are kept in `folder`. Raises StoreError, InputError.
    """
    # starlette
    from learntoask.core.pack import parse_pack  # noqa: PLC0415
    from learntoask.induction.output.pack_yaml import pack_yaml  # noqa: PLC0415
    from learntoask.review.page.access import Role, invited, read_key  # noqa: PLC0415
    from learntoask.review.page.app import ReviewPage  # noqa: PLC0415
    from learntoask.review.page.guideline import wording_of  # noqa: PLC0415
    from learntoask.review.page.server import bind, in_thread, link_of  # noqa: PLC0415

    def of_answers() -> tuple[Said, Suggestion]:
        said = said_in(folder)
        return said, suggestion(said)

    queue = open_queue(folder)
    said, found = of_answers()
    rounds = Rounds()
    cards = rounds.next_of(found)
    queue.retire(
        queue.unanswered() - {card.digest for card in cards}, reason="another suggestion was made since"
    )
    queue.add(cards)
    key = read_key(folder / FOLDER / "links.key", create=True)
    pack = parse_pack(pack_yaml(found, name=title), where="the suggested pack")
    person = invited(reviewer, role=Role.REVIEWER, queue=queue.name, days=1)
    page = ReviewPage(queue, wording_of(pack, title=title), key)
    with in_thread(page.app(), bind("127.0.0.1", port)) as address:
        link = link_of(address, person, key)
        click.echo(
            f"{len(found.cards)} questions or fewer, about {ROUND} at a time. Answer them on this page; Ctrl-C goes on "
            f"with the answers that are there:\n  {link}"
        )
        if browser and sys.stdout.isatty():
            webbrowser.open(link)
        try:
            while cards:
                while queue.status().missing:
                    time.sleep(_LOOK_EVERY)
                said, found = of_answers()
                cards = rounds.next_of(found)
                queue.add(cards)
            time.sleep(_FAREWELL)
        except KeyboardInterrupt:
            click.echo()
    status = queue.status()
    click.echo(f"{status.given} of {status.needed} answers are there")
    # After Ctrl-C there may be answers that no round has taken in; a suggestion takes minutes, so none is made twice.
    return found if said == said_in(folder) else suggestion(said_in(folder))
