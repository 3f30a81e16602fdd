"""The fields of a pack, prepared for the comparison with questions: words, patterns, vectors and similarities."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from learntoask.core.pack import InformationField, Pack
from learntoask.core.text.characters import plain_text
from learntoask.core.text.patterns import Search, bounded_search
from learntoask.core.text.words import stems
from learntoask.grading.encoders.encoder import Encoder

_ANY_FIELD = 0.5  # the other keys have value 1, so the L2 penalty prefers to explain a question by those
_SHORTEST_VALUE = 3  # letters; "1" or "no" occur in any text


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """One field of one task, prepared for the comparison with questions."""

    name: str
    title_stems: frozenset[str]
    values: tuple[str, ...]  # the possible values, case-folded
    patterns: tuple[Search, ...]
    keys: NDArray[np.uint64]  # hashes of its title's stems, of the field itself, and of "any field"
    key_values: NDArray[np.float64]  # feature values of the keys


def hashes(parts: list[str]) -> NDArray[np.uint64]:
    """Return the CRC-32 of each part."""
    return np.array(
        [zlib.crc32(part.encode("utf-8", errors="surrogatepass")) for part in parts], dtype=np.uint64
    )


class PackFields:
    """All fields of all tasks, in one order. `slices` are the indices of each task's fields, `groups` its group."""

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
        """Return the index of a field among all fields."""
        return self._places[task, field]

    def likeness(self, task: str) -> NDArray[np.float64]:
        """Return how similar the fields of `task` are to all fields, [fields of the task, all fields].

        1 for the same field name in the same group of tasks, else the cosine similarity of titles and descriptions, at
        least 0.
        """
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
"""A stand-in for all fields, for the classifier that decides whether a text asks for anything."""


def _candidate(field: InformationField, group: str) -> Candidate:
    title = sorted(set(stems(field.title)))
    return Candidate(
        name=field.name,
        title_stems=frozenset(title),
        values=tuple(plain_text(value).casefold() for value in field.values if len(value) >= _SHORTEST_VALUE),
        patterns=tuple(map(bounded_search, field.patterns)),
        keys=hashes([*title, f"#{group}.{field.name}", "*"]),
        key_values=np.array([1.0] * (len(title) + 1) + [_ANY_FIELD]),
    )
