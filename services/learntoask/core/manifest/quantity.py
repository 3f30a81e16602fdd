"""Amounts of memory or disk space in the notation of Kubernetes, such as `512Mi`."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, Field

_QUANTITY = re.compile(r"^(\d+)(Ki|Mi|Gi|Ti|k|M|G|T)?$")
_UNITS = {
    None: 1,
    "k": 10**3,
    "M": 10**6,
    "G": 10**9,
    "T": 10**12,
    "Ki": 2**10,
    "Mi": 2**20,
    "Gi": 2**30,
    "Ti": 2**40,
}


def byte_count(quantity: str) -> int:
    """Return the bytes of a quantity such as `512Mi`, `2G` or `1000000`. Raises ValueError."""
    match = _QUANTITY.match(quantity)
    if not match:
        raise ValueError(f"{quantity!r} is not a quantity such as 512Mi, 2G or 1000000")
    return int(match[1]) * _UNITS[match[2]]


def _valid_quantity(quantity: str) -> str:
    byte_count(quantity)
    return quantity


Quantity = Annotated[
    str,
    Field(max_length=20, json_schema_extra={"pattern": _QUANTITY.pattern}),
    AfterValidator(_valid_quantity),
]
