"""A journal of replies on disk, so that a killed stage loses only the requests that were in progress.

Each reply is one JSON line, written unbuffered, with the digest of its request. A request with another prompt, model or
schema has another digest. Lines that cannot be parsed, such as the incomplete last line of a killed process, are
ignored, so that their requests are sent again.
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
    """The replies of one endpoint. Only their offsets in the file are kept in memory.

    The file contains quotes of users, so that only its owner may read it. It never contains an API key.
    """

    def __init__(self, path: Path) -> None:
        """Raises StageError if the file cannot be read or written."""
        self.path = path
        self._begins: dict[str, int] = {}
        try:
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
            self._index()
        except OSError as error:
            self._fail(error)

    def __iter__(self) -> Iterator[Reply]:
        """Iterate over the replies in the file."""
        for begin in self._begins.values():
            yield self._at(begin).reply

    def find(self, asked: str) -> Reply | None:
        """Return the reply to the request with digest `asked`, or None."""
        begin = self._begins.get(asked)
        return None if begin is None else self._at(begin).reply

    def add(self, asked: str, reply: Reply) -> None:
        """Append the reply to the request with digest `asked`. Raises StageError if it cannot be written."""
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
                    os.ftruncate(
                        self._file, end
                    )  # otherwise the next line would be appended to this incomplete one
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
            f"{problem} {self.path}; run again when it can be written. The answers so far are kept",
            reason="DiskFull" if full else "CannotWrite",
        ) from error
