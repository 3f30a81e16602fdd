"""Renders the templates of the page. All text is escaped."""

from __future__ import annotations

import secrets
import time
from collections.abc import Sequence
from typing import NamedTuple

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from learntoask.review.page.access import Person, form_token
from learntoask.review.page.cards import Card
from learntoask.review.page.guideline import Wording
from learntoask.review.progress import Progress

_MOST_VALUES = 20  # of a field in the guideline


class Visitor(NamedTuple):
    """The person and the token of the person's forms, as templates read them."""

    name: str
    role: str
    queue: str
    form: str


def visitor(person: Person, key: bytes) -> Visitor:
    return Visitor(person.name, person.role.value, person.queue, form_token(person, key))


def time_text(seconds: float | None) -> str:
    """Return how long something takes, in words."""
    if seconds is None:
        return ""
    if seconds < 45:
        return "under a minute left"
    minutes = round(seconds / 60)
    if minutes < 90:
        return f"about {minutes} min left"
    return f"about {seconds / 3600:.1f} h left"


class Pages:
    """The page's HTML, whole or in the parts that its script exchanges."""

    def __init__(self, wording: Wording) -> None:
        self._environment = Environment(
            loader=PackageLoader("learntoask.review.page", "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.globals |= {
            "wording": wording,
            "fresh_id": lambda: secrets.token_hex(16),
            "most_values": _MOST_VALUES,
            "now": lambda: f"{time.time():.1f}",
        }
        self._environment.filters["time"] = time_text
        self._guidelines = wording.guidelines
        # Parts are macros, which the module of the template exposes.
        self._parts = self._environment.get_template("parts.html.j2").module

    def whole(self, template: str, **variables: object) -> str:
        return self._environment.get_template(f"{template}.html.j2").render(**variables)

    def article(self, card: Card, reader: Visitor) -> str:
        return self._part("article", card, reader)

    def said(self, card: Card) -> str:
        return self._part("said", card)

    def progress(self, progress: Progress) -> str:
        return self._part("progress", progress)

    def warnings(self, found: Sequence[str]) -> str:
        return self._part("warnings", found)

    def guide(self, task: str) -> Markup:
        return Markup(self._part("guide", task, self._guidelines.get(task)))

    def _part(self, name: str, *arguments: object) -> str:
        return str(getattr(self._parts, name)(*arguments)).strip()
