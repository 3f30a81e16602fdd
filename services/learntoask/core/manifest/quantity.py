"""Amounts of memory or disk space in the notation of Kubernetes, such as `512Mi`."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import Field

from learntoask.core.manifest.form import Form

_QUANTITY = re.compile(r"(\d{1,15})(Ki|Mi|Gi|Ti|k|M|G|T)?")
_FORM = Form(_QUANTITY.pattern, "write an amount such as 512Mi, 2G or 1000000, without spaces")
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
    match = _QUANTITY.fullmatch(quantity)
    if not match:
        raise ValueError(f"{quantity!r} is not a quantity such as 512Mi, 2G or 1000000")
    return int(match[1]) * _UNITS[match[2]]


Quantity = Annotated[str, Field(max_length=20), _FORM]
