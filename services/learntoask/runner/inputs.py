"""The files on this machine that the addresses of a manifest name, and the digests of their content."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from learntoask.core.digest import folder_digest
from learntoask.core.documents.text_file import read_document
from learntoask.core.errors import InputError, StoreError
from learntoask.core.manifest import LearnToAskRun, RunSpec, load_manifest
from learntoask.core.manifest.address import HUB_MODEL
from learntoask.core.pack import Pack, parse_pack
from learntoask.core.pod_contract import CLAIMS_FOLDER, LTA_CLAIMS, LTA_CONFIG_MAPS
from learntoask.core.prompt import check_prompts
from learntoask.store.address import StoreAddress, address_of
from learntoask.store.atomic_files import file_digest

_ELSEWHERE = ("pypi:", "tiny:", "hf:")  # schemes of base models that are not files of the user


@dataclass(frozen=True, kw_only=True)
class Sources:
    """A manifest with everything that it names. `pack_text` is the pack as it was read, whatever is edited later.

    `store` is where its stages are published. `verified` has the digests of downloaded files, which the download has
    checked.
    """

    path: Path
    manifest: LearnToAskRun
    pack: Pack
    pack_text: str
    files: Mapping[str, Path]
    store: StoreAddress
    verified: Mapping[str, str] = field(default_factory=dict)

    @property
    def spec(self) -> RunSpec:
        return self.manifest.spec

    def digests(self) -> dict[str, str]:
        """Return the digest of every file by its role. That of a folder follows from its files."""
        return {role: self.verified.get(role) or path_digest(path) for role, path in self.files.items()}


def read_sources(manifest_path: Path, *, home: Path) -> Sources:
    """Read manifest and pack and find the files. Those at `s3://` addresses are downloaded to `home` once.

    Raises InputError with the field at fault, StoreError when a file cannot be downloaded.
    """
    manifest = load_manifest(manifest_path)
    spec, folder = manifest.spec, manifest_path.resolve().parent
    store = address_of(spec.store, folder=folder, default=home / "store", environment=os.environ)
    found = {
        role: fetch_input(uri, field=field, folder=folder, store=store, home=home)
        for role, (uri, field) in {"pack": (spec.pack.uri, "spec.pack.uri"), **external_files(spec)}.items()
    }
    verified = {role: file.digest for role, file in found.items() if file.digest}
    files = {role: file.path for role, file in found.items()}
    pack_path = files.pop("pack")
    for role in {"dataset", "test"} & files.keys():
        if files[role].is_dir():
            raise InputError(
                f"{external_files(spec)[role][1]}: {files[role]} is a folder; name the file in it"
            )
    pack_text = read_document(pack_path, what="spec.pack.uri:")
    pack = parse_pack(pack_text, where=str(pack_path))
    check_prompts(pack, assess=spec.train.assesses)
    return Sources(
        path=manifest_path.resolve(),
        manifest=manifest,
        pack=pack,
        pack_text=pack_text,
        files=files,
        store=store,
        verified=verified,
    )


def external_files(spec: RunSpec) -> dict[str, tuple[str, str]]:
    """Return address and field of every file that a run reads, except the pack, by its role."""
    files = {"dataset": (spec.dataset.uri, "spec.dataset.uri")}
    if spec.dataset.test_uri is not None:
        files["test"] = (spec.dataset.test_uri, "spec.dataset.testUri")
    if not spec.train.base.uri.startswith(_ELSEWHERE):
        files["base"] = (spec.train.base.uri, "spec.train.base.uri")
    return files


@dataclass(frozen=True, kw_only=True)
class Located:
    """A file or folder on this machine; `digest` if a download has just checked it."""

    path: Path
    digest: str | None = None


def fetch_input(uri: str, *, field: str, folder: Path, store: StoreAddress, home: Path) -> Located:
    """Return the file that `uri` names, relative to `folder`. An `s3://` address is downloaded to `home` once, from the
    service of `store`.

    Raises InputError with `field`, StoreError when the file cannot be downloaded.
    """
    if not uri.startswith("s3:"):
        return Located(path=local_path(uri, folder, field=field))
    from learntoask.store.download import download_input  # noqa: PLC0415 - half a second of imports

    found = download_input(uri, field=field, service=store, cache=home / "cache")
    return Located(path=found.path, digest=found.digest)


def local_path(uri: str, folder: Path, *, field: str) -> Path:
    """Return the path that `uri` names, relative to `folder`. Raises InputError with `field`."""
    scheme, _, rest = uri.partition(":")
    if rest and scheme == "pvc":
        return _on_claim(rest, field=field)
    if rest and scheme == "configMap" and os.environ.get(LTA_CONFIG_MAPS):
        return _in_config_map(rest, Path(os.environ[LTA_CONFIG_MAPS]), field=field)
    if rest and scheme in ("hf", "http", "https", "pypi", "configMap"):
        raise InputError(
            f"{field}: {scheme}: addresses cannot be read on this machine; give a path or an s3:// address"
        )
    path = folder / (rest if scheme == "file" and rest else uri)
    if not path.exists():
        hint = ""
        if (folder / "make_pack.py").exists() and path.name == "pack.yaml":
            hint = f". It is made from data: run `python {folder / 'make_pack.py'}` first"
        if field == "spec.train.base.uri" and re.fullmatch(HUB_MODEL, f"hf:{uri}"):
            hint = f". For a model of the Hugging Face Hub write hf:{uri}"
        raise InputError(f"{field}: {path} does not exist{hint}")
    return path


def _on_claim(rest: str, *, field: str) -> Path:
    """Return the path of `claim/path` on a persistent volume claim; pods mount the claims below LTA_CLAIMS."""
    claims = Path(os.environ.get(LTA_CLAIMS) or CLAIMS_FOLDER).resolve()
    path = (claims / rest.lstrip("/")).resolve()
    if not path.is_relative_to(claims) or path == claims:
        raise InputError(f"{field}: pvc:{rest} does not lie on a claim; write pvc:claim/path")
    if not path.exists():
        raise InputError(
            f"{field}: {path} does not exist; pvc:{rest} is read where the claim is mounted. LTA_CLAIMS may name "
            "another folder with one folder per claim"
        )
    return path


def _in_config_map(rest: str, folder: Path, *, field: str) -> Path:
    """Return the file of the ConfigMap key `name/key`; pods have it below LTA_CONFIG_MAPS."""
    name, _, key = rest.partition("/")
    path = folder / name / key
    if not key or "/" in key or not path.is_file():
        raise InputError(
            f"{field}: there is no {path}; write configMap:name/key of a ConfigMap that has that key"
        )
    return path


def path_digest(path: Path) -> str:
    """Return the digest of a file's content or of a folder (`folder_digest`). Raises StoreError if unreadable."""
    if not path.is_dir():
        return file_digest(path)
    try:
        return folder_digest(path)
    except OSError as error:
        raise StoreError(f"{path} cannot be read: {error}") from error
