"""A manifest's addresses on this machine: which files it means, and the digests of their content."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from learntoask.core.digest import digest_of
from learntoask.core.errors import InputError
from learntoask.core.manifest import LearnToAskRun, RunSpec, load_manifest
from learntoask.core.pack import Pack, parse_pack
from learntoask.store.folder import FolderStore, file_digest

_PACKAGED = ("pypi:", "tiny:")  # base models that are no files of the user's


@dataclass(frozen=True, kw_only=True)
class Sources:
    """A manifest with everything it points at. `pack_text` is what was read, so a later edit changes nothing."""

    path: Path
    manifest: LearnToAskRun
    pack: Pack
    pack_text: str
    files: Mapping[str, Path]

    @property
    def spec(self) -> RunSpec:
        return self.manifest.spec

    def digests(self) -> dict[str, str]:
        """Digest per file role; a folder's is made of its files'."""
        return {role: path_digest(path) for role, path in self.files.items()}


def read_sources(manifest_path: Path) -> Sources:
    """Read manifest and pack and find the files. Raises InputError naming the field at fault."""
    manifest = load_manifest(manifest_path)
    spec, folder = manifest.spec, manifest_path.resolve().parent
    pack_path = local_path(spec.pack.uri, folder, field="spec.pack.uri")
    files = {"dataset": local_path(spec.dataset.uri, folder, field="spec.dataset.uri")}
    if spec.dataset.test_uri is not None:
        files["test"] = local_path(spec.dataset.test_uri, folder, field="spec.dataset.testUri")
    if not spec.train.base.uri.startswith(_PACKAGED):
        files["base"] = local_path(spec.train.base.uri, folder, field="spec.train.base.uri")
    try:
        pack_text = pack_path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"spec.pack.uri: {pack_path} cannot be read: {error}") from error
    pack = parse_pack(pack_text, where=str(pack_path))
    return Sources(
        path=manifest_path.resolve(), manifest=manifest, pack=pack, pack_text=pack_text, files=files
    )


def open_store(spec: RunSpec, *, manifest_path: Path, home: Path) -> FolderStore:
    """The store of a run: LTA_STORE, else `spec.store.uri`, else `store` in `home`."""
    address = os.environ.get("LTA_STORE") or spec.store.uri
    if address is None:
        return FolderStore(home / "store")
    return FolderStore(local_path(address, manifest_path.resolve().parent, field="store", must_exist=False))


def local_path(uri: str, folder: Path, *, field: str, must_exist: bool = True) -> Path:
    """The path that `uri` means, relative to `folder`. Raises InputError naming `field`."""
    scheme, _, rest = uri.partition(":")
    if rest and scheme in ("s3", "pvc", "hf", "http", "https", "pypi", "configMap"):
        raise InputError(
            f"{field}: {scheme}: addresses cannot be read on this machine; give a path (got {uri!r})"
        )
    path = folder / (rest if scheme == "file" and rest else uri)
    if must_exist and not path.exists():
        hint = ""
        if (folder / "make_pack.py").exists() and path.name == "pack.yaml":
            hint = f". It is made from data: run `python {folder / 'make_pack.py'}` first"
        raise InputError(f"{field}: {path} does not exist{hint}")
    return path


def path_digest(path: Path) -> str:
    if path.is_dir():
        inner = sorted(file for file in path.rglob("*") if file.is_file())
        return digest_of({str(file.relative_to(path)): file_digest(file) for file in inner})
    return file_digest(path)
