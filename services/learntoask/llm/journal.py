"""Replies on disk as they come, so that a killed stage loses at most the requests under way.

One JSON line a reply, appended unbuffered, under the digest of what was asked: another prompt, model or schema is
another request. What cannot be read (the torn last line of a killed process) is asked again.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

from pydantic import BaseModel, ValidationError

from learntoask.core.errors import StageError
from learntoask.llm.wire import Reply


class _Entry(BaseModel):
    asked: str
    reply: Reply


class ReplyJournal:
    """The replies of one endpoint; in memory only where each begins. Holds user texts (quotes), never a key."""

    def __init__(self, path: Path) -> None:
        """Raises StageError when the file cannot be read or written."""
        self.path = path
        self._begins: dict[str, int] = {}
        try:
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
            self._index()
        except OSError as error:
            self._fail(error)

    def __iter__(self) -> Iterator[Reply]:
        """What earlier attempts were answered."""
        for begin in self._begins.values():
            yield self._at(begin).reply

    def find(self, asked: str) -> Reply | None:
        """The reply to the request with digest `asked`, if an earlier attempt got one."""
        begin = self._begins.get(asked)
        return None if begin is None else self._at(begin).reply

    def add(self, asked: str, reply: Reply) -> None:
        """Raises StageError when the disk is full."""
        line = _Entry(asked=asked, reply=reply).model_dump_json().encode() + b"\n"
        try:
            while line:
                line = line[os.write(self._file, line) :]
        except OSError as error:
            self._fail(error)

    def close(self) -> None:
        os.close(self._file)

    def _index(self) -> None:
        end = 0
        with self.path.open("rb") as file:
            for line in file:
                if not line.endswith(b"\n"):
                    os.ftruncate(self._file, end)  # else the next line would be written behind its torn rest
                    break
                with suppress(ValidationError):
                    self._begins[_Entry.model_validate_json(line).asked] = end
                end += len(line)

    def _at(self, begin: int) -> _Entry:
        with self.path.open("rb") as file:
            file.seek(begin)
            return _Entry.model_validate_json(file.readline())

    def _fail(self, error: OSError) -> NoReturn:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        problem = "no space left for" if full else f"{error.strerror or error}:"
        raise StageError(
            f"{problem} {self.path}; run again when it can be written, what was answered is kept",
            reason="DiskFull" if full else "CannotWrite",
        ) from error
