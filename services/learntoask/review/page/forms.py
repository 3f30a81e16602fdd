"""Reads the forms of the page. Bad input raises InputError that names the field."""

from __future__ import annotations

import math
import re
from urllib.parse import parse_qs

from starlette.requests import ClientDisconnect, Request

from learntoask.core.errors import InputError
from learntoask.review.records import CANNOT_SAY, Answer, ReviewItem

_LARGEST_BODY = 65_536  # bytes
_LONGEST_COMMENT = 2000  # characters
_LONGEST_SECONDS = 3600.0
_DIGEST = re.compile(r"[0-9a-f]{64}")
_ID = re.compile(r"[0-9A-Za-z_-]{8,64}")


class Form:
    """The fields of a submitted form."""

    def __init__(self, fields: dict[str, list[str]]) -> None:
        self._fields = fields

    def all(self, name: str) -> list[str]:
        return self._fields.get(name, [])

    def one(self, name: str) -> str:
        values = self.all(name)
        return values[0] if len(values) == 1 else ""

    @property
    def item(self) -> str:
        return _digest(self.one("item"), "item")

    @property
    def item_or_none(self) -> str | None:
        return self.item if self.one("item") else None

    @property
    def items(self) -> tuple[str, ...]:
        return tuple(_digest(value, "item") for value in self.all("item")[:8])

    @property
    def ahead(self) -> tuple[str, ...]:
        """The items that the page holds already."""
        return tuple(_digest(value, "ahead") for value in self.all("ahead")[:8] if value)

    @property
    def id(self) -> str:
        """The id of the action, which a repetition of the request has too."""
        if not _ID.fullmatch(self.one("client")):
            raise InputError("client: it must be 8 to 64 letters and digits; load the page again")
        return self.one("client")

    @property
    def revealed(self) -> bool:
        """Whether the page showed the votes to the person who sent this."""
        return self.one("revealed") == "1"

    @property
    def comment(self) -> str:
        comment = self.one("comment").strip()
        if not 0 < len(comment) <= _LONGEST_COMMENT:
            raise InputError(f"comment: write between 1 and {_LONGEST_COMMENT} characters")
        return comment

    def seconds(self, now: float) -> float:
        """Return the time spent: as the script measured it, or since the page was made. 0 if both are unknown."""
        for value, since in ((self.one("seconds"), 0.0), (self.one("shown"), now)):
            try:
                seconds = abs(since - float(value))
            except ValueError:
                continue
            if math.isfinite(seconds):
                return min(seconds, _LONGEST_SECONDS)
        return 0.0

    def answer(self, item: ReviewItem) -> Answer:
        """Return the answer that the form gives to `item`."""
        say, chosen = self.one("say"), self.all("answer")
        if say == "cannot":
            return CANNOT_SAY
        if say == "none" and item.several:
            return ()
        unknown = set(chosen) - {choice.key for choice in item.choices}
        if unknown:
            raise InputError(f"answer: {sorted(unknown)[0][:80]!r} is not a choice of this question")
        if not chosen:
            raise InputError(
                "answer: choose at least one, or “None of these”" if item.several else "answer: choose one"
            )
        if len(chosen) > 1 and not item.several:
            raise InputError("answer: this question takes one choice")
        return tuple(sorted(set(chosen)))


async def read_form(request: Request) -> Form:
    """Read a URL-encoded form. Raises InputError for another type or a body that is too large."""
    if (
        request.headers.get("content-type", "").partition(";")[0].strip()
        != "application/x-www-form-urlencoded"
    ):
        raise InputError("send the form as application/x-www-form-urlencoded")
    body = bytearray()
    try:
        async for chunk in request.stream():
            body += chunk
            if len(body) > _LARGEST_BODY:
                raise InputError(f"the form is larger than {_LARGEST_BODY:,} bytes")
    except ClientDisconnect:
        raise InputError("the connection ended before the form did") from None
    try:
        return Form(parse_qs(body.decode(), keep_blank_values=True, max_num_fields=256))
    except ValueError as error:
        raise InputError(f"the form cannot be read: {error}") from None


def _digest(value: str, field: str) -> str:
    if not _DIGEST.fullmatch(value):
        raise InputError(f"{field}: {value[:80]!r} is not the digest of a question")
    return value
