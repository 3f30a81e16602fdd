"""The fields of a pack as the grader compares questions with them: words, patterns, vectors and likeness."""

from __future__ import annotations

import re
import zlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from learntoask.core.pack import InformationField, Pack
from learntoask.grading.encoders.encoder import Encoder
from learntoask.grading.text import stems

_ANY_FIELD = 0.5  # lighter than the others, so that they explain first
_SHORTEST_VALUE = 3  # letters; "1" or "no" are mentioned everywhere


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """One field of one task, ready for comparison."""

    name: str
    title_stems: frozenset[str]
    values: tuple[str, ...]  # case-folded
    patterns: tuple[re.Pattern[str], ...]
    keys: NDArray[np.uint64]  # hashes of its title's stems, of the field itself and of "any field"
    key_values: NDArray[np.float64]


def hashes(parts: list[str]) -> NDArray[np.uint64]:
    return np.array(
        [zlib.crc32(part.encode("utf-8", errors="surrogatepass")) for part in parts], dtype=np.uint64
    )


class PackFields:
    """All fields of all tasks, in one order; `slices` says which belong to a task."""

    def __init__(self, pack: Pack, encoder: Encoder) -> None:
        self.slices: dict[str, slice] = {}
        self.groups: dict[str, str] = {}
        self.candidates: dict[str, tuple[Candidate, ...]] = {}
        self._places: dict[tuple[str, str], int] = {}
        fields: list[InformationField] = []
        identities: list[tuple[str, str]] = []
        for task in pack.tasks:
            group = task.group_name
            self.slices[task.name] = slice(len(fields), len(fields) + len(task.fields))
            self.groups[task.name] = group
            self.candidates[task.name] = tuple(_candidate(field, group) for field in task.fields)
            self._places |= {(task.name, field.name): len(fields) + i for i, field in enumerate(task.fields)}
            fields += task.fields
            identities += [(group, field.name) for field in task.fields]
        self._identities = identities
        self._likeness: dict[str, NDArray[np.float64]] = {}
        titles = [field.title for field in fields]
        descriptions = [field.description or field.title for field in fields]
        both = [f"{field.title}: {field.description}" for field in fields]
        self.texts = [*titles, *descriptions, *both]
        vectors = encoder.encode(self.texts)
        self.titles, self.descriptions, self._both = np.split(vectors, 3)

    def place(self, task: str, field: str) -> int:
        """Index of a field among all fields."""
        return self._places[task, field]

    def likeness(self, task: str) -> NDArray[np.float64]:
        """How far each field (row: of `task`, column: any) means the same: 1 for the same field of the same group
        of tasks, else the similarity of names and descriptions, at least 0."""
        if task in self._likeness:
            return self._likeness[task]
        rows = self.slices[task]
        like = np.clip(self._both[rows].astype(np.float64) @ self._both.T.astype(np.float64), 0, 1)
        for row, identity in enumerate(self._identities[rows]):
            like[row, [identity == other for other in self._identities]] = 1.0
        self._likeness[task] = like
        return like


ANYTHING = Candidate(
    name="*",
    title_stems=frozenset(),
    values=(),
    patterns=(),
    keys=hashes(["*"]),
    key_values=np.ones(1),
)
"""Stands for all fields together, where the question is whether a text asks for anything at all."""


def _candidate(field: InformationField, group: str) -> Candidate:
    title = sorted(set(stems(field.title)))
    return Candidate(
        name=field.name,
        title_stems=frozenset(title),
        values=tuple(value.casefold() for value in field.values if len(value) >= _SHORTEST_VALUE),
        patterns=tuple(re.compile(pattern, re.IGNORECASE) for pattern in field.patterns),
        keys=hashes([*title, f"#{group}.{field.name}", "*"]),
        key_values=np.array([1.0] * (len(title) + 1) + [_ANY_FIELD]),
    )
