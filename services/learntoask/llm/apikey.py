"""The key of an endpoint, from an environment variable or a file; never from a manifest, never into a log."""

from __future__ import annotations

import os
from pathlib import Path

from learntoask.core.errors import InputError, StageError
from learntoask.core.manifest import Endpoint


class ApiKey:
    """Read anew where it is a file: a mounted Secret may rotate during a run that lasts for days."""

    def __init__(self, endpoint: Endpoint, *, where: str) -> None:
        """Raises InputError naming the field (`where` is that of the endpoint) when there is no key to be had."""
        self._file = Path(endpoint.api_key_file) if endpoint.api_key_file else None
        self._variable = endpoint.api_key_env
        self._where = f"{where}.{'apiKeyFile' if self._file else 'apiKeyEnv'}"
        try:
            self.read()
        except StageError as error:
            raise InputError(str(error)) from None

    def read(self) -> str | None:
        """None for an endpoint without a key. Raises StageError saying what is missing, and never what was found."""
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
