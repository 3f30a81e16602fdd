"""A manifest of this machine made one that a cluster can use: paths replaced by the addresses of what was uploaded."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from pathlib import Path

from learntoask.core.json_object import Json
from learntoask.core.manifest import RunSpec
from learntoask.runner.inputs import external_files, local_path


def uploads(spec: RunSpec, folder: Path) -> Iterator[tuple[str, Path]]:
    """Field (`spec.dataset.uri`) and path of everything that lies on this machine; relative paths are relative to
    `folder`. Raises InputError naming the field of what does not exist."""
    for uri, field in [*external_files(spec).values(), (spec.pack.uri, "spec.pack.uri")]:
        if uri.startswith("file:") or ":" not in uri:
            yield field, local_path(uri, folder, field=field).resolve()


def with_addresses(body: Json, spec: RunSpec, folder: Path, push: Callable[[Path], str]) -> Json:
    """`body` (the manifest as written; `spec` is its parsed spec) with what `push` returns in the place of paths."""
    result = copy.deepcopy(body)
    for field, path in uploads(spec, folder):
        *sections, name = field.split(".")
        section = result
        for one in sections:
            section = section[one]
        section[name] = push(path)
    return result
