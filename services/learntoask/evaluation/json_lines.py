"""JSON lines of records, written so that a killed process leaves the whole file or none."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from learntoask.core.errors import InputError
from learntoask.core.records import Record

Row = TypeVar("Row", bound=Record)


def write_lines(path: Path, rows: Iterable[Record]) -> None:
    part = path.with_name(path.name + ".part")
    with part.open("w", encoding="utf-8") as file:
        for row in rows:
            file.write(row.model_dump_json(exclude_defaults=True) + "\n")
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)


def read_lines(path: Path, kind: type[Row]) -> Iterator[Row]:
    """The records of a file. Raises InputError naming the line and the field at fault."""
    try:
        with path.open(encoding="utf-8") as file:
            for number, line in enumerate(file, 1):
                try:
                    yield kind.model_validate_json(line)
                except ValidationError as error:
                    first = error.errors()[0]
                    where = ".".join(str(part) for part in first["loc"]) or "line"
                    raise InputError(
                        f"{path}, line {number} is not a {kind.__name__}: {where}: {first['msg']}"
                    ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read: {error}") from error
