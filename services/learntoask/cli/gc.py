"""`lta gc`: removes from a store what is not needed any more."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.filesize import decimal
from rich.table import Table

from learntoask.cli.cluster.deleted_runs import delete_finished_lists, find_unneeded
from learntoask.cli.cluster.options import context_option
from learntoask.cli.cluster.upload import given_store
from learntoask.cli.options import json_option
from learntoask.core.errors import InputError
from learntoask.core.manifest import StoreSettings, seconds
from learntoask.local.view import RunView, view
from learntoask.runner.home import home_folder, run_names
from learntoask.runner.run_folder import RunFolder
from learntoask.store.address import StoreAddress
from learntoask.store.factory import open_store
from learntoask.store.garbage_collection import CollectionResult, collect, with_lineage
from learntoask.store.protocol import StoredItem
from learntoask.store.unfinished import abandoned_keys, unfinished_address

_SAFE_GRACE = 3600  # seconds; a shorter one is refused while a run is active


@dataclass(frozen=True, kw_only=True)
class _Collection:
    """The collection in the store of published stages, and in that of unfinished ones (checkpoints)."""

    published: CollectionResult
    unfinished: CollectionResult


@click.command
@click.argument("run", required=False, help="Look at the store of this run (name or manifest).")
@click.option("--store", help="Look at this store: a folder or s3://bucket/prefix.")
@click.option(
    "--keep",
    metavar="RUN",
    multiple=True,
    help="Keep only the stages that these runs reach, and remove all other published stages.",
)
@click.option("--older-than", default="24h", help="Keep what was used more recently, such as 30m or 24h.")
@click.option(
    "--unfinished-older-than",
    default="336h",
    help="Keep checkpoints that were added to more recently. A suspended run continues from its checkpoints.",
)
@click.option(
    "--cluster",
    is_flag=True,
    help="Remove also the stages of deleted runs with `artefacts: remove` that no run or endpoint uses.",
)
@click.option(
    "--namespace",
    "-n",
    multiple=True,
    help="With --cluster: look only here (may be repeated). No other namespace may use the store.",
)
@context_option
@click.option("--dry-run", is_flag=True, help="Only show what would be removed.")
@json_option
def gc(
    run: str | None,
    store: str | None,
    keep: tuple[str, ...],
    older_than: str,
    unfinished_older_than: str,
    cluster: bool,
    namespace: tuple[str, ...],
    context: str | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Remove blobs of no published stage, leftovers of killed writers, and checkpoints that are not needed any more.

    Published stages are only removed with --keep, which names every run whose stages are kept, or with --cluster, which
    finds the stages of deleted runs.
    """
    if keep and cluster:
        raise InputError("--keep and --cluster each say which stages are kept; give one of them")
    home = home_folder()
    grace = _seconds(older_than, "--older-than")
    patience = _seconds(unfinished_older_than, "--unfinished-older-than")
    kept = [view(name, home=home) for name in keep]
    address = _address(run, store, kept, home)
    _refuse_while_running(home, kept=kept if keep else None, grace=grace)
    lists, unneeded = (
        find_unneeded(address.uri, namespaces=namespace or [None], context=context)
        if cluster
        else ([], set())
    )
    reached = _reached(address, kept=kept if keep else None, unneeded=unneeded if cluster else None)
    collection = _collect(address, reached=reached, grace=grace, patience=patience, dry_run=dry_run)
    if lists and not dry_run:
        remaining = {publication.key for publication in open_store(address).publications()}
        delete_finished_lists(lists, remaining=remaining, context=context)
    if as_json:
        click.echo(json.dumps(_json_of(collection, address, dry_run=dry_run), indent=2))
    else:
        console = Console(highlight=False)
        console.print(_table(collection, address, dry_run=dry_run))
        console.print(
            f"Everything used within {older_than} is kept. A leftover is a file that a killed writer did not finish."
        )


def _collect(
    address: StoreAddress, *, reached: set[str] | None, grace: int, patience: int, dry_run: bool
) -> _Collection:
    """Remove what was not used for `grace` seconds, and abandoned checkpoints after `patience` seconds.

    Only the published stages `reached` are kept; all of them for None.
    """
    now, store, unfinished = time.time(), open_store(address), open_store(unfinished_address(address))
    published = collect(store, unused_since=now - grace, keep=reached, dry_run=dry_run)
    abandoned = abandoned_keys(unfinished, published=store, unused_since=now - patience)
    needed = {publication.key for publication in unfinished.publications()} - abandoned
    return _Collection(
        published=published,
        unfinished=collect(unfinished, unused_since=now - grace, keep=needed, dry_run=dry_run),
    )


def _seconds(duration: str, flag: str) -> int:
    try:
        return seconds(duration)
    except ValueError as error:
        raise InputError(f"{flag}: {error}") from error


def _address(run: str | None, store: str | None, kept: list[RunView], home: Path) -> StoreAddress:
    """The store that is given, that of `run`, that of the runs to keep, or the default one."""
    if run is not None and store is not None:
        raise InputError("name a run or give --store, not both")
    if run is not None:
        return view(run, home=home).sources.store
    if store is None and kept:
        return kept[0].sources.store
    return given_store(StoreSettings(), Path.cwd(), store)


def _refuse_while_running(home: Path, *, kept: list[RunView] | None, grace: int) -> None:
    active = [name for name in run_names(home) if RunFolder(home, name).active]
    if active and grace < _SAFE_GRACE:
        raise InputError(
            f"--older-than: {', '.join(active)} is running and may be about to publish; wait, or give 1h or more"
        )
    lost = sorted(set(active) - {shown.folder.name for shown in kept}) if kept is not None else []
    if lost:
        raise InputError(
            f"--keep: {', '.join(lost)} is running and would lose its stages; keep it too, or wait"
        )


def _reached(
    address: StoreAddress, *, kept: list[RunView] | None, unneeded: set[str] | None
) -> set[str] | None:
    """The keys of the published stages to keep: those of the runs `kept`, or all but `unneeded`; None for all."""
    if kept is None and unneeded is None:
        return None
    publications = list(open_store(address).publications())
    if unneeded is not None:
        return with_lineage({publication.key for publication in publications} - unneeded, publications)
    keys = set()
    for shown in kept or []:
        if shown.sources.store.uri != address.uri:
            raise InputError(
                f"--keep: run {shown.folder.name!r} publishes to {shown.sources.store.uri}, not here"
            )
        keys |= {publication.key for publication in shown.publications.values()}
    return with_lineage(keys, publications)


def _json_of(collection: _Collection, address: StoreAddress, *, dry_run: bool) -> dict[str, Any]:
    published = _figures(collection.published)
    return {
        "store": address.uri,
        "dryRun": dry_run,
        **published,
        "unfinished": _figures(collection.unfinished),
    }


def _figures(found: CollectionResult) -> dict[str, Any]:
    return {
        "removed": _sums(found.removed),
        "left": _sums(found.left),
        "objects": [
            {"kind": item.kind, "name": item.name, "size": item.size, "used": item.used}
            for item in found.removed
        ],
    }


def _sums(items: Iterable[StoredItem]) -> dict[str, int]:
    items = list(items)
    counts = Counter(item.kind for item in items)
    return {
        "blobs": counts["blob"],
        "publications": counts["publication"],
        "leftovers": counts["leftover"],
        "bytes": sum(item.size for item in items),
    }


def _table(collection: _Collection, address: StoreAddress, *, dry_run: bool) -> Table:
    table = Table(title=f"store {address.uri}", title_justify="left")
    for heading in ("", "blobs", "published stages", "leftovers", "size"):
        table.add_column(heading, justify="right" if heading else "left")
    removed = "would remove" if dry_run else "removed"
    published, unfinished = collection.published, collection.unfinished
    rows = [(removed, published.removed), ("left", published.left)]
    if unfinished.removed or unfinished.left:
        rows += [(f"{removed}, unfinished", unfinished.removed), ("left, unfinished", unfinished.left)]
    for name, items in rows:
        sums = _sums(items)
        counts = (str(sums[kind]) for kind in ("blobs", "publications", "leftovers"))
        table.add_row(name, *counts, decimal(sums["bytes"]))
    return table
