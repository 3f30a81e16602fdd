"""Durations in the notation of Kubernetes, such as `90s`, `45m` or `1h30m`."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field

from learntoask.core.manifest.form import Form

LONGEST = "8784h"
"""Longest duration of a manifest: 366 days."""
POSITIVE_DURATION_FORMAT = "positive-duration"
DURATION_FORMAT = "bounded-duration"
_PARTS = re.compile(r"(?=\d)(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?")
_FORM = Form(
    r"\d{1,9}h(\d{1,9}m)?(\d{1,9}s)?|\d{1,9}m(\d{1,9}s)?|\d{1,9}s",
    "write a duration such as 90s, 45m or 1h30m, of whole hours, minutes and seconds",
)


def seconds(duration: str) -> int:
    """Return the seconds of a duration such as `90s`, `45m` or `1h30m`. Raises ValueError."""
    match = _PARTS.fullmatch(duration)
    if not match:
        raise ValueError(f"{duration!r} is not a duration such as 90s, 45m or 1h30m")
    hours, minutes, rest = (int(part or 0) for part in match.groups())
    return hours * 3600 + minutes * 60 + rest


def _with_unit(value: object) -> object:
    if isinstance(value, int | float) and not isinstance(value, bool):
        raise ValueError(_FORM.words)
    return value


def _bounded(duration: str) -> str:
    if seconds(duration) > seconds(LONGEST):
        raise ValueError(f"give at most {LONGEST} (366 days)")
    return duration


def _some_time(duration: str) -> str:
    if not seconds(duration):
        raise ValueError("give at least 1s")
    return duration


Duration = Annotated[
    str,
    Field(max_length=20, json_schema_extra={"format": DURATION_FORMAT}),
    _FORM,
    AfterValidator(_bounded),
    BeforeValidator(_with_unit),
]
PositiveDuration = Annotated[
    str,
    Field(max_length=20, json_schema_extra={"format": POSITIVE_DURATION_FORMAT}),
    _FORM,
    AfterValidator(_bounded),
    AfterValidator(_some_time),
    BeforeValidator(_with_unit),
]
