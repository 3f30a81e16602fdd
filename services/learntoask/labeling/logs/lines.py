"""Read and write files of lines while holding at most one line in memory."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from pydantic_core import to_json

from learntoask.core.errors import InputError, LearnToAskError, StageError

BOM = b"\xef\xbb\xbf"
CHUNK = 1 << 20
# By the first bytes of the file.
_PACKED = {b"\x1f\x8b": "is compressed by gzip", b"PK\x03\x04": "is a zip archive"}


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line of a log file."""

    number: int  # from 1, blank lines counted, as editors show it
    text: bytes  # without line end and byte order mark; only its first bytes if `too_long`
    end: int  # offset of the byte after the line
    too_long: bool = False


def read_lines(path: Path, *, max_bytes: int) -> Iterator[LogLine]:
    """Yield every line of a file, blank ones included. Only the beginning of a line above `max_bytes` is kept.

    Raises InputError, with the name of the file, when the file cannot be read or is compressed.
    """
    try:
        with path.open("rb", buffering=CHUNK) as file:
            number = end = 0
            while text := file.readline(max_bytes + 2):
                number += 1
                if number == 1 and text.startswith(tuple(_PACKED)):
                    kind = next(kind for beginning, kind in _PACKED.items() if text.startswith(beginning))
                    raise InputError(f"logs {path} {kind}; unpack it first")
                end += len(text)
                content = text.rstrip(b"\r\n")
                too_long = len(content) > max_bytes
                if too_long:
                    end += _skip_line(file, text)
                yield LogLine(number, content.removeprefix(BOM), end, too_long)
    except OSError as error:
        raise _read_error(path, error) from error


def file_bytes(path: Path) -> int:
    """Return the size of a log file in bytes. Raises InputError when there is no such file."""
    try:
        return path.stat().st_size
    except OSError as error:
        raise _read_error(path, error) from error


def _read_error(path: Path, error: OSError) -> InputError:
    return InputError(f"logs {path} cannot be read: {error.strerror or error}")


def _skip_line(file: Any, text: bytes) -> int:
    """Read up to the end of the line that begins with `text`, and return the number of bytes read."""
    skipped = 0
    while not text.endswith(b"\n"):
        text = file.readline(CHUNK)
        if not text:
            break
        skipped += len(text)
    return skipped


class JsonLinesWriter:
    """Writes one JSON value per line. A full disk raises a StageError that names the file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._file = path.open("wb", buffering=CHUNK)
        except OSError as error:
            raise write_error(path, error) from error

    def write(self, line: bytes) -> None:
        try:
            self._file.write(line)
            self._file.write(b"\n")
        except OSError as error:
            raise write_error(self.path, error) from error

    def write_object(self, value: object) -> None:
        self.write(to_json(value))

    def close(self) -> None:
        try:
            self._file.close()
        except OSError as error:
            raise write_error(self.path, error) from error

    def __enter__(self) -> JsonLinesWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def write_error(path: Path, error: OSError) -> LearnToAskError:
    """Return the StageError that says why `path` cannot be written."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return StageError(
            f"no space left to write {path}; free some and start the run again", reason="DiskFull"
        )
    return StageError(f"{path} cannot be written: {error.strerror or error}", reason="CannotWrite")
