"""Upload files of this machine to a store and report each on the console (`lta apply`, `lta try`, `lta data push`)."""

from __future__ import annotations

import os
from pathlib import Path

import yaml
from rich.console import Console

from learntoask.cluster.manifest import with_addresses
from learntoask.cluster.upload import push
from learntoask.core.json_object import Json
from learntoask.core.manifest import LearnToAskRun, StoreSettings, load_manifest
from learntoask.runner.home import home_folder
from learntoask.store.address import StoreAddress, address_of


def upload_manifest(manifest: Path, store: str | None, console: Console) -> tuple[LearnToAskRun, Json]:
    """Upload what the manifest names on this machine. Return the manifest, and its document with the addresses of the
    uploaded files in place of their paths.

    The files go to `store`, or to the manifest's own store where `store` is None.
    """
    parsed = load_manifest(manifest)
    document: Json = yaml.safe_load(manifest.read_text(encoding="utf-8"))
    folder = manifest.resolve().parent

    def upload(path: Path) -> str:
        return upload_file(path, given_store(parsed.spec.store, folder, store), console)

    return parsed, with_addresses(document, parsed.spec, folder, upload)


def upload_file(path: Path, address: StoreAddress, console: Console) -> str:
    """Upload a file or folder, report every file on the console, and return its `s3://` address."""

    def report(file: Path, sent: bool) -> None:
        outcome = "uploaded" if sent else "is there already"
        console.print(f"[green]✓[/] {os.path.relpath(file)} {outcome}")

    return push(path, address, on_file=report)


def given_store(settings: StoreSettings, folder: Path, given: str | None) -> StoreAddress:
    """Return the store at the address `given` with `--store`, or that of `settings` in a manifest in `folder`."""
    environment = {**os.environ, **({"LTA_STORE": given} if given else {})}
    return address_of(settings, folder=folder, default=home_folder() / "store", environment=environment)
