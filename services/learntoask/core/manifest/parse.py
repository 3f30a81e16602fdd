"""Parse a LearnToAskRun from YAML; errors name the file and the field."""

from __future__ import annotations

from pathlib import Path

from learntoask.core.documents.input_checks import parse_document
from learntoask.core.documents.text_file import read_document
from learntoask.core.manifest.run import LearnToAskRun


def load_manifest(path: Path) -> LearnToAskRun:
    """Read and validate the manifest at `path`. Raises InputError."""
    return parse_manifest(read_document(path, what="manifest"), where=str(path))


def parse_manifest(text: str, *, where: str) -> LearnToAskRun:
    """Validate a manifest given as YAML; `where` names its source in messages. Raises InputError."""
    return parse_document(text, LearnToAskRun, where=where)
