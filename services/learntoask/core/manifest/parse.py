"""Parse a LearnToAskRun from YAML; errors name the file and the field."""

from __future__ import annotations

from pathlib import Path

from learntoask.core.documents.input_checks import parse_document
from learntoask.core.errors import InputError
from learntoask.core.manifest.run import LearnToAskRun


def load_manifest(path: Path) -> LearnToAskRun:
    """Read and validate the manifest at `path`. Raises InputError."""
    try:
        return parse_manifest(path.read_text(encoding="utf-8"), where=str(path))
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"manifest {path} cannot be read: {error}") from error


def parse_manifest(text: str, *, where: str) -> LearnToAskRun:
    """Validate a manifest given as YAML; `where` names its source in messages. Raises InputError."""
    return parse_document(text, LearnToAskRun, where=where)
