"""The pack and the external files of a run, brought into the pod and checked against the digests that were planned."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from pydantic import JsonValue

from learntoask.core.errors import InputError
from learntoask.core.pack import Pack, parse_pack
from learntoask.core.stages.graph import pack_digests
from learntoask.pod.environment import PodEnvironment
from learntoask.runner.inputs import external_files, located, path_digest


@dataclass(frozen=True, kw_only=True)
class PodInputs:
    """`files`: role → (path, digest)."""

    pack: Pack
    files: dict[str, tuple[Path, str]]

    @property
    def digests(self) -> dict[str, JsonValue]:
        """What `resolve` reports: everything outside the manifest that keys of stages are computed from."""
        return {
            "pack": {**pack_digests(self.pack)},
            "files": {role: digest for role, (_, digest) in self.files.items()},
        }


def fetch_inputs(pod: PodEnvironment, *, roles: Collection[str] | None) -> PodInputs:
    """The pack, and the files with these roles (None: all there are).

    Raises InputError naming the field of what is not there or has changed since it was planned with, StoreError for
    what cannot be fetched.
    """
    spec = pod.run.spec
    pack_path, _ = _fetched(pod, spec.pack.uri, "spec.pack.uri")
    pack = parse_pack(pack_path.read_text(encoding="utf-8"), where=spec.pack.uri)
    wanted = pod.order.pack
    if wanted is not None and pack_digests(pack)["whole"] != wanted:
        raise _changed("spec.pack.uri", spec.pack.uri)
    files = {}
    for role, (uri, field) in external_files(spec).items():
        if roles is not None and role not in roles:
            continue
        path, digest = _fetched(pod, uri, field)
        if pod.order.files.get(role, digest) != digest:
            raise _changed(field, uri)
        files[role] = (path, digest)
    return PodInputs(pack=pack, files=files)


def _fetched(pod: PodEnvironment, uri: str, field: str) -> tuple[Path, str]:
    if ":" not in uri and not uri.startswith("/"):
        raise InputError(
            f"{field}: {uri!r} is a path of somebody's machine; `lta apply` uploads it, or give s3://bucket/key, "
            "pvc:claim/path or (a pack) configMap:name/key"
        )
    found = located(uri, field=field, folder=Path("/"), store=pod.store, home=pod.home)
    return found.path, found.digest or path_digest(found.path)


def _changed(field: str, uri: str) -> InputError:
    return InputError(
        f"{field}: the content of {uri} changed while the run was under way; apply the run anew under another name, or "
        "rerun it from its first stage",
        reason="InputChanged",
    )
