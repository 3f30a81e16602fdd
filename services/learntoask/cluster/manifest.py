"""Turn a manifest of this machine into one for a cluster: paths become the addresses of uploaded files."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from pathlib import Path

from learntoask.core.json_object import Json
from learntoask.core.manifest import RunSpec
from learntoask.runner.inputs import external_files, local_path


def uploads(spec: RunSpec, folder: Path) -> Iterator[tuple[str, Path]]:
    """Yield the field (such as `spec.dataset.uri`) and the path of every file or folder that lies on this machine.

    Relative paths are relative to `folder`. Raises InputError with the field of a path that does not exist.
    """
    for uri, field in [*external_files(spec).values(), (spec.pack.uri, "spec.pack.uri")]:
        if uri.startswith("file:") or ":" not in uri:
            yield field, local_path(uri, folder, field=field).resolve()


def with_addresses(body: Json, spec: RunSpec, folder: Path, push: Callable[[Path], str]) -> Json:
    """Return a copy of `body` in which every path is replaced by the address that `push` returns for it.

    `body` is the manifest as written, and `spec` is its parsed spec.
    """
    result = copy.deepcopy(body)
    for field, path in uploads(spec, folder):
        *names, last = field.split(".")
        section = result
        for name in names:
            section = section[name]
        section[last] = push(path)
    return result
