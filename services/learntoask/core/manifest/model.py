"""The base class of manifest models, and the field types that several of them share."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

import regex
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, GetCoreSchemaHandler
from pydantic.alias_generators import to_camel
from pydantic_core import CoreSchema

from learntoask.core.manifest.form import Form


def _forbid_conversion(schema: object) -> None:
    """Make numbers and truth values below `schema` strict. (The setting `strict` of a whole model would also refuse a
    list for a tuple, and no document has tuples.)"""
    if isinstance(schema, dict):
        if schema.get("type") in ("int", "float", "bool"):
            schema["strict"] = True
        for name, inner in schema.items():
            if name not in ("default", "metadata", "serialization", "cls", "config"):
                _forbid_conversion(inner)
    elif isinstance(schema, list | tuple):
        for inner in schema:
            _forbid_conversion(inner)


class ManifestModel(BaseModel):
    """A part of a document that users write: a manifest or a domain pack.

    Field names are camelCase in a document, as in Kubernetes, and an unknown field is an error. Numbers and truth
    values are not converted into each other, nor texts into either, so that `epochs: true` is an error. The docstrings
    of a model and of its fields become the descriptions in the JSON schema, the CRDs and the reference.
    """

    model_config = ConfigDict(
        alias_generator=to_camel,
        populate_by_name=True,
        extra="forbid",
        frozen=True,
        allow_inf_nan=False,
        use_attribute_docstrings=True,
    )

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        schema = handler(source)
        _forbid_conversion(schema)
        return schema


_TEXTS = ("x", "7 .", "Is it so?")  # no pattern with a meaning matches all of them


def _valid_pattern(pattern: str) -> str:
    if "\b" in pattern:  # what YAML makes of a pattern with \b between double quotes
        raise ValueError(f"pattern {pattern!r} holds a backspace character; put it between single quotes")
    try:
        re.compile(pattern)
        regex.compile(pattern)
    except (re.error, regex.error) as error:
        raise ValueError(f"pattern {pattern!r} is not a regular expression: {error}") from error
    return pattern


def _selective(pattern: str) -> str:
    found = regex.compile(pattern, regex.IGNORECASE)
    if all(found.search(text) for text in _TEXTS):
        raise ValueError(f"pattern {pattern!r} matches every message; name what it has to contain")
    return pattern


Pattern = Annotated[str, Field(min_length=1, max_length=2000), AfterValidator(_valid_pattern)]
SelectivePattern = Annotated[Pattern, AfterValidator(_selective)]
Name = Annotated[
    str,
    Field(max_length=63),
    Form(
        r"[a-z0-9]([-a-z0-9]*[a-z0-9])?",
        "use lower-case letters a-z, digits and -, and begin and end with a letter or digit",
    ),
]
Share = Annotated[float, Field(ge=0, le=1)]
Precision = Literal["auto", "float32", "bfloat16"]
