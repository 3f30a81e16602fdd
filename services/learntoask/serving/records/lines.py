"""Reads the files of records back: conversations and reported outcomes."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from learntoask.core.errors import InputError

_KEYS = ({"session_id", "messages", "served"}, {"conversation", "outcome", "value"})


def record_lines(paths: Iterable[Path]) -> Iterator[Any]:
    """Yield the object of each line, with the key `served` or `outcome`. Raises InputError with the file and line."""
    for path in paths:
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"{path} cannot be read: {error}") from error
        # Only "\n" ends a record, because users may write what str.splitlines takes for an end, such as U+2028.
        for number, line in enumerate(text.split("\n"), start=1):
            if not line:
                continue
            try:
                content = json.loads(line)
                if not isinstance(content, dict) or not any(keys <= content.keys() for keys in _KEYS):
                    raise ValueError("it is no record of a served conversation or outcome")
            except ValueError as error:
                raise InputError(f"{path}:{number}: {error}") from error
            yield content
