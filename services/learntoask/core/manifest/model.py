"""The base class of manifest models, and the field types that several of them share."""

from __future__ import annotations

import re
from typing import Annotated, Literal

import regex
from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel


class ManifestModel(BaseModel):
    """A part of a document that users write: a manifest or a domain pack.

    Field names are camelCase in a document, as in Kubernetes, and an unknown field is an error. The docstrings of a
    model and of its fields become the descriptions in the JSON schema, the CRDs and the reference.
    """

    model_config = ConfigDict(
        alias_generator=to_camel,
        populate_by_name=True,
        extra="forbid",
        frozen=True,
        allow_inf_nan=False,
        use_attribute_docstrings=True,
    )


_DURATION = re.compile(r"^(?=\d)(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?$")


def seconds(duration: str) -> int:
    """Return the seconds of a duration such as `90s`, `45m` or `1h30m`. Raises ValueError."""
    match = _DURATION.match(duration)
    if not match:
        raise ValueError(f"{duration!r} is not a duration such as 90s, 45m or 1h30m")
    hours, minutes, rest = (int(part or 0) for part in match.groups())
    return hours * 3600 + minutes * 60 + rest


def _valid_duration(duration: str) -> str:
    seconds(duration)
    return duration


def _some_time(duration: str) -> str:
    if not seconds(duration):
        raise ValueError("give at least 1s")
    return duration


def _valid_pattern(pattern: str) -> str:
    if "\b" in pattern:  # what YAML makes of a pattern with \b between double quotes
        raise ValueError(f"pattern {pattern!r} holds a backspace character; put it between single quotes")
    try:
        re.compile(pattern)
        regex.compile(pattern)
    except (re.error, regex.error) as error:
        raise ValueError(f"pattern {pattern!r} is not a regular expression: {error}") from error
    return pattern


_USER = re.compile(r"^[a-z][a-z0-9+.-]*://[^/]*@|^s3://[^/]*:", re.IGNORECASE)


def _without_credentials(address: str) -> str:
    if _USER.match(address):
        raise ValueError("an address must not carry credentials; give them in the environment or in a file")
    return address


# The JSON schema cannot contain the Python validators, so these entries approximate them there.
_DURATION_SCHEMA = {"pattern": r"^(\d+h)?(\d+m)?(\d+s)?$", "minLength": 2}
ADDRESS_FORMAT = "address-without-credentials"
POSITIVE_DURATION_FORMAT = "positive-duration"

Duration = Annotated[
    str, Field(max_length=20, json_schema_extra=_DURATION_SCHEMA), AfterValidator(_valid_duration)
]
PositiveDuration = Annotated[
    str,
    Field(max_length=20, json_schema_extra={**_DURATION_SCHEMA, "format": POSITIVE_DURATION_FORMAT}),
    AfterValidator(_valid_duration),
    AfterValidator(_some_time),
]
Pattern = Annotated[str, Field(min_length=1, max_length=2000), AfterValidator(_valid_pattern)]
Name = Annotated[str, Field(max_length=63, pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")]
Uri = Annotated[str, Field(min_length=1, max_length=2048)]
Address = Annotated[
    Uri, Field(json_schema_extra={"format": ADDRESS_FORMAT}), AfterValidator(_without_credentials)
]
Share = Annotated[float, Field(ge=0, le=1)]
Precision = Literal["auto", "float32", "bfloat16"]
