"""`lta gc`: free what nobody needs in a store."""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.filesize import decimal
from rich.table import Table

from learntoask.cli.cluster.runs import Context, in_cluster
from learntoask.core.errors import InputError
from learntoask.core.json_object import Json
from learntoask.core.manifest import StoreSettings, seconds
from learntoask.core.stages.gc_candidates import COLLECTABLE, keys_of, orphaned_lists, unneeded_keys
from learntoask.local.view import RunView, view
from learntoask.runner.run_folder import home_folder, run_folders
from learntoask.store.address import StoreAddress, address_of
from learntoask.store.factory import open_store
from learntoask.store.garbage_collection import CollectionResult, collect, with_lineage
from learntoask.store.protocol import StoredItem
from learntoask.store.unfinished import abandoned_keys, unfinished_address

_SAFE_GRACE = 3600  # seconds; a shorter one is refused while runs are at work


def register(app: typer.Typer) -> None:
    app.command()(gc)


def gc(
    run: Annotated[
        str | None, typer.Argument(help="Look at the store of this run (name or manifest).")
    ] = None,
    store: Annotated[
        str | None, typer.Option("--store", help="Look at this store: a folder or s3://bucket/prefix.")
    ] = None,
    keep: Annotated[
        list[str] | None,
        typer.Option(
            "--keep",
            metavar="RUN",
            help="Keep only what these runs reach, remove all other published stages.",
        ),
    ] = None,
    older_than: Annotated[
        str, typer.Option("--older-than", help="Leave what was used more recently, such as 30m or 24h.")
    ] = "24h",
    unfinished_older_than: Annotated[
        str,
        typer.Option(
            "--unfinished-older-than",
            help="Leave checkpoints that were added to more recently; a suspended run goes on from its own.",
        ),
    ] = "336h",
    cluster: Annotated[
        bool,
        typer.Option(
            "--cluster",
            help="Remove also the stages of runs with `artefacts: remove` that are gone from the cluster and that no "
            "run or endpoint uses.",
        ),
    ] = False,
    namespace: Annotated[
        list[str] | None,
        typer.Option(
            "--namespace",
            "-n",
            help="With --cluster: look only here (may be repeated); no other may use the store.",
        ),
    ] = None,
    context: Context = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be removed.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Remove blobs that no published stage mentions, what killed writers left, and checkpoints that nobody asks for.

    Published stages are never removed, unless --keep names every run whose stages are to stay, or --cluster finds them
    left by runs that are gone.
    """
    if keep and cluster:
        raise InputError("--keep and --cluster each say what is to stay; give one")
    home = home_folder()
    grace = _seconds(older_than, "--older-than")
    patience = _seconds(unfinished_older_than, "--unfinished-older-than")
    kept = [view(name, home=home) for name in keep or []]
    address = _address(run, store, kept, home)
    _refuse_while_running(home, kept=kept if keep else None, grace=grace)
    opened = open_store(address)
    lists: list[Json] = []
    reached = _reached(kept, address, opened.publications()) if keep else None
    if cluster:
        lists, doomed = _left_by_runs(address, namespaces=namespace or [None], context=context)
        known = list(opened.publications())
        reached = with_lineage({one.key for one in known} - doomed, known)
    now = time.time()
    found = collect(opened, unused_since=now - grace, keep=reached, dry_run=dry_run)
    made = open_store(unfinished_address(address))
    gone = abandoned_keys(made, published=opened, unused_since=now - patience)
    kept_back = {one.key for one in made.publications()} - gone
    half = collect(made, unused_since=now - grace, keep=kept_back, dry_run=dry_run)
    if lists and not dry_run:
        _done_with(lists, left={one.key for one in opened.publications()}, context=context)
    if as_json:
        told = {"store": address.uri, "dryRun": dry_run, **_figures(found), "unfinished": _figures(half)}
        typer.echo(json.dumps(told, indent=2))
    else:
        _present(
            Console(highlight=False), found, half, address=address, dry_run=dry_run, older_than=older_than
        )


def _left_by_runs(
    address: StoreAddress, *, namespaces: Sequence[str | None], context: str | None
) -> tuple[list[Json], set[str]]:
    """Lists of runs that are gone, and the keys in them that nothing in `namespaces` (None: in any) uses."""
    from learntoask.kube import CONFIG_MAP, ENDPOINT, RUN  # noqa: PLC0415

    async def looked(kube: Any) -> tuple[list[Json], set[str]]:
        async def every(kind: Any, labels: str | None = None) -> list[Json]:
            found = [await kube.list(kind, namespace=one, labels=labels) for one in namespaces]
            return [one for part in found for one in part]

        # The lists first: a run that begins meanwhile is among those that use what it found.
        lists, runs = await every(CONFIG_MAP, COLLECTABLE), await every(RUN)
        gone = orphaned_lists(lists, runs, store=address.uri)
        return gone, unneeded_keys(gone, [*runs, *await every(ENDPOINT)])

    return in_cluster(looked, context=context)


def _done_with(lists: list[Json], *, left: set[str], context: str | None) -> None:
    """Delete the lists of which nothing is left in the store."""
    from learntoask.kube import CONFIG_MAP  # noqa: PLC0415

    async def deleted(kube: Any) -> None:
        for one in lists:
            if not keys_of(one) & left:
                metadata = one["metadata"]
                await kube.delete(
                    CONFIG_MAP, metadata["name"], namespace=metadata["namespace"], uid=metadata["uid"]
                )

    in_cluster(deleted, context=context)


def _seconds(duration: str, flag: str) -> int:
    try:
        return seconds(duration)
    except ValueError as error:
        raise InputError(f"{flag}: {error}") from error


def _address(run: str | None, store: str | None, kept: list[RunView], home: Path) -> StoreAddress:
    """The store that is meant: given, a run's, that of the runs to keep, or the default one."""
    if run is not None and store is not None:
        raise InputError("name a run or give --store, not both")
    if run is not None:
        return view(run, home=home).sources.store
    if store is None and kept:
        return kept[0].sources.store
    environment = {**os.environ, **({"LTA_STORE": store} if store else {})}
    return address_of(StoreSettings(), folder=Path.cwd(), default=home / "store", environment=environment)


def _refuse_while_running(home: Path, *, kept: list[RunView] | None, grace: int) -> None:
    active = [folder.name for folder in run_folders(home) if folder.active]
    if active and grace < _SAFE_GRACE:
        raise InputError(
            f"--older-than: {', '.join(active)} is at work and may be about to publish; wait, or take 1h or more"
        )
    lost = sorted(set(active) - {shown.folder.name for shown in kept}) if kept is not None else []
    if lost:
        raise InputError(
            f"--keep: {', '.join(lost)} is at work and would lose its stages; keep it too, or wait"
        )


def _reached(kept: list[RunView], address: StoreAddress, publications: Iterable[Any]) -> set[str]:
    for shown in kept:
        if shown.sources.store.uri != address.uri:
            raise InputError(
                f"--keep: run {shown.folder.name!r} publishes to {shown.sources.store.uri}, not here"
            )
    return with_lineage({one.key for shown in kept for one in shown.publications.values()}, publications)


def _figures(found: CollectionResult) -> dict[str, Any]:
    return {
        "removed": _sums(found.removed),
        "left": _sums(found.left),
        "objects": [
            {"kind": item.kind, "name": item.name, "size": item.size, "used": item.used}
            for item in found.removed
        ],
    }


def _sums(items: tuple[StoredItem, ...]) -> dict[str, int]:
    counts = Counter(item.kind for item in items)
    return {
        "blobs": counts["blob"],
        "publications": counts["publication"],
        "leftovers": counts["leftover"],
        "bytes": sum(item.size for item in items),
    }


def _present(
    console: Console,
    found: CollectionResult,
    half: CollectionResult,
    *,
    address: StoreAddress,
    dry_run: bool,
    older_than: str,
) -> None:
    table = Table(title=f"store {address.uri}", title_justify="left")
    for heading in ("", "blobs", "published stages", "leftovers", "size"):
        table.add_column(heading, justify="right" if heading else "left")
    gone = "would remove" if dry_run else "removed"
    rows = [(gone, found.removed), ("left", found.left)]
    if half.removed or half.left:
        rows += [(f"{gone}, unfinished", half.removed), ("left, unfinished", half.left)]
    for name, items in rows:
        sums = _sums(items)
        counts = (str(sums[kind]) for kind in ("blobs", "publications", "leftovers"))
        table.add_row(name, *counts, decimal(sums["bytes"]))
    console.print(table)
    console.print(f"What was used within {older_than} stays; a leftover is what a killed writer left.")
