"""The API key of an endpoint, from an environment variable or a file. No message or log ever contains it."""

from __future__ import annotations

import os
from pathlib import Path

from learntoask.core.errors import InputError, StageError
from learntoask.core.manifest import Endpoint


class ApiKey:
    """The API key of an endpoint. A file is read for every request, because a mounted Secret may be rotated."""

    def __init__(self, endpoint: Endpoint, *, where: str) -> None:
        """Raises InputError that names the field if the key cannot be read. `where` is the field of the endpoint."""
        self._file = Path(endpoint.api_key_file) if endpoint.api_key_file else None
        self._variable = endpoint.api_key_env
        self._where = f"{where}.{'apiKeyFile' if self._file else 'apiKeyEnv'}"
        try:
            self.read()
        except StageError as error:
            raise InputError(str(error)) from None

    def read(self) -> str | None:
        """Return the key, or None for an endpoint without one. Raises StageError, whose message never contains the
        key."""
        if self._file is not None:
            try:
                key = self._file.read_text(encoding="utf-8").strip()
            except (OSError, UnicodeDecodeError) as error:
                raise self._missing(f"{self._file} cannot be read ({type(error).__name__})") from None
            source = str(self._file)
        elif self._variable is not None:
            key, source = os.environ.get(self._variable, "").strip(), f"environment variable {self._variable}"
        else:
            return None
        if not key:
            raise self._missing(f"{source} is empty or not set; put the API key there")
        if not (key.isascii() and key.isprintable()) or " " in key:
            raise self._missing(f"{source} does not hold an API key (it has spaces or unusual characters)")
        return key

    def _missing(self, problem: str) -> StageError:
        return StageError(f"{self._where}: {problem}", reason="NoApiKey")
