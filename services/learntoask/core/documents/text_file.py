"""Reads a document that a user wrote, and says what to do when the file is none."""

from __future__ import annotations

from pathlib import Path

from learntoask.core.errors import InputError

_WIDE = (b"\xff\xfe", b"\xfe\xff")  # byte order marks of UTF-16


def read_document(path: Path, *, what: str) -> str:
    """Return the text of the file. Raises InputError; `what` names the document in its message."""
    try:
        content = path.read_bytes()
    except FileNotFoundError as error:
        raise InputError(f"{what} {path} does not exist") from error
    except IsADirectoryError as error:
        raise InputError(f"{what} {path} is a folder; name the file in it") from error
    except OSError as error:
        raise InputError(f"{what} {path} cannot be read: {error.strerror}") from error
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        found = "it is UTF-16" if content.startswith(_WIDE) else f"line {line} is not UTF-8"
        raise InputError(f"{what} {path} cannot be read: {found}; save the file as UTF-8") from error
