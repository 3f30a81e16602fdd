"""Log files: a file that holds no lines of text is told as what it is."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from learntoask.core.errors import InputError
from learntoask.labeling.logs.lines import read_lines


def test_a_compressed_file_is_told_instead_of_its_lines(tmp_path: Path) -> None:
    path = tmp_path / "logs.jsonl"
    path.write_bytes(gzip.compress(b'{"messages": []}\n'))
    with pytest.raises(InputError, match=r"logs\.jsonl is compressed by gzip; unpack it first"):
        list(read_lines(path, max_bytes=100))


def test_an_empty_file_has_no_lines(tmp_path: Path) -> None:
    path = tmp_path / "logs.jsonl"
    path.touch()
    assert list(read_lines(path, max_bytes=100)) == []
