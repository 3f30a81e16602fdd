"""Read and write files of records, one JSON object per line."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from learntoask.core.documents.messages import problem, where_of
from learntoask.core.errors import InputError
from learntoask.core.records import Record

RecordType = TypeVar("RecordType", bound=Record)


def write_records(path: Path, records: Iterable[Record]) -> None:
    """Write all records with all their keys. A process that is killed meanwhile leaves the previous file, or none."""
    part = path.with_name(path.name + ".part")
    with part.open("w", encoding="utf-8") as file:
        for record in records:
            file.write(record.model_dump_json() + "\n")
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)


def read_records(path: Path, kind: type[RecordType]) -> Iterator[RecordType]:
    """Yield the records of a file, such as the LabelledSessions of labelled.jsonl.

    Raises InputError with the line and the key that is wrong, or when the file cannot be read.
    """
    try:
        with path.open(encoding="utf-8") as file:
            for number, line in enumerate(file, 1):
                try:
                    yield kind.model_validate_json(line)
                except ValidationError as error:
                    first = error.errors()[0]
                    raise InputError(
                        f"{path}, line {number} is not a {kind.__name__}: {where_of(first, 'line')}: {problem(first)}"
                    ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read: {error}") from error
