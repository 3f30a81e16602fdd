"""The runs of a sweep. Each has its own manifest, but all have one store, so that shared stages are computed once.

.lta/sweeps/NAME/VARIANT.yaml    the manifest of a variant, an ordinary run called NAME-VARIANT
.lta/sweeps/NAME/report.*        the comparison
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import yaml
from pydantic import JsonValue

from learntoask.core.documents.input_checks import check_document, parse_document
from learntoask.core.documents.messages import Path as FieldPath
from learntoask.core.documents.text_file import read_document
from learntoask.core.documents.yaml_loader import positions
from learntoask.core.errors import LearnToAskError
from learntoask.core.manifest import LearnToAskRun, load_manifest
from learntoask.core.manifest.sweep import Changes, LearnToAskSweep, SeededVariant, merge_changes
from learntoask.local.executor import Display, Executor
from learntoask.local.view import view_of
from learntoask.runner.inputs import read_sources
from learntoask.runner.run_folder import RunFolder

_PATHS = (
    ("dataset", "uri"),
    ("dataset", "testUri"),
    ("pack", "uri"),
    ("train", "base", "uri"),
    ("store", "uri"),
    ("store", "ca"),
    ("store", "credentials", "file"),
)


@dataclass(frozen=True, kw_only=True)
class Member:
    """A variant as a run, with one seed. `changes` are its differences from the base manifest."""

    name: str
    variant: str
    seed: int | None
    run: str
    changes: Changes
    manifest: Path


@dataclass(frozen=True, kw_only=True)
class MemberOutcome:
    """How a member's run ended. `evaluation` is the folder with its report, if there is one. `refused` means that its
    gate refused the policy after the evaluation."""

    member: Member
    state: Literal["done", "refused", "failed"]
    message: str = ""
    evaluation: Path | None = None


def load_sweep(path: Path) -> LearnToAskSweep:
    """Read a sweep. Raises InputError that names file and field."""
    return parse_document(read_document(path, what="sweep"), LearnToAskSweep, where=str(path))


def write_members(sweep: LearnToAskSweep, *, path: Path, folder: Path) -> list[Member]:
    """Write the manifests of the variants to `folder`. Raises InputError that names the variant and the field."""
    base_path = path.parent / sweep.spec.base
    base = load_manifest(base_path).model_dump(mode="json", by_alias=True, exclude_unset=True)
    places = {
        variant.name: place for variant, place in zip(sweep.spec.all_variants, _places(sweep), strict=True)
    }
    manifests = {
        run.name: _manifest(
            run,
            places[run.variant.name],
            sweep=sweep,
            base=base,
            base_folder=base_path.resolve().parent,
            where=path,
        )
        for run in sweep.spec.runs
    }
    folder.mkdir(parents=True, exist_ok=True)
    found = []
    for run in sweep.spec.runs:
        file = folder / f"{run.name}.yaml"
        file.write_text(yaml.safe_dump(manifests[run.name], sort_keys=False), encoding="utf-8")
        found.append(
            Member(
                name=run.name,
                variant=run.variant.name,
                seed=run.seed,
                run=manifests[run.name]["metadata"]["name"],
                changes=merge_changes(sweep.spec.spec, run.spec),
                manifest=file,
            )
        )
    return found


def run_member(member: Member, *, home: Path, display: Display) -> MemberOutcome:
    """Run a member to its end. Its errors become an outcome, so that the sweep goes on with the other members."""
    try:
        sources = read_sources(member.manifest, home=home)
        folder = RunFolder(home, sources.manifest.metadata.name)
        with folder.locked():
            plan = Executor(sources=sources, folder=folder, home=home, display=display).run()
        shown = view_of(sources, folder)
        evaluation = shown.output("evaluate") if "evaluate" in shown.publications else None
    except LearnToAskError as error:
        return MemberOutcome(member=member, state="failed", message=f"{error.reason}: {error}")
    if plan.outcome == "Succeeded":
        return MemberOutcome(member=member, state="done", evaluation=evaluation)
    refused = evaluation is not None and plan.reason == "GateFailed"
    message = plan.message or f"the run is {plan.outcome.lower()}"
    return MemberOutcome(
        member=member, state="refused" if refused else "failed", message=message, evaluation=evaluation
    )


def _places(sweep: LearnToAskSweep) -> Iterator[FieldPath]:
    """Yield the path of the entry that each variant comes from, in the order of `all_variants`."""
    yield from (("spec", "variants", index) for index in range(len(sweep.spec.variants)))
    for index, curve in enumerate(sweep.spec.curves):
        yield from [("spec", "curves", index)] * len(curve.values)


def _manifest(
    variant: SeededVariant,
    place: FieldPath,
    *,
    sweep: LearnToAskSweep,
    base: Changes,
    base_folder: Path,
    where: Path,
) -> dict[str, JsonValue]:
    spec = merge_changes(merge_changes(base["spec"], sweep.spec.spec), variant.spec)  # type: ignore[arg-type]
    for keys in _PATHS:
        _anchor(spec, keys, base_folder)
    name = f"{sweep.metadata.name}-{variant.name}"
    manifest = {**base, "metadata": {"name": name}, "spec": spec}

    def line(field: FieldPath) -> str:
        """Name the line of the sweep that gives the field; where the base manifest gives it, that of the variant."""
        written = positions(read_document(where, what="sweep"))
        own, shared = (*place, *field), ("spec", *field)
        in_shared = written.depth(shared) - 1 > written.depth(own) - len(place)
        at = written.line(shared if in_shared else own)
        return f"{where}:{at}: variant {variant.name!r} is no valid run"

    check_document(manifest, LearnToAskRun, where=line)
    return manifest


def _anchor(spec: Changes, keys: Sequence[str], folder: Path) -> None:
    """Make the relative path at `keys` absolute, because the variant's manifest is in another folder."""
    inner: JsonValue = spec
    for key in keys[:-1]:
        inner = inner.get(key) if isinstance(inner, dict) else None
    value = inner.get(keys[-1]) if isinstance(inner, dict) else None
    if isinstance(inner, dict) and isinstance(value, str):
        scheme, _, rest = value.partition(":")
        if scheme == "file" or (not rest and not value.endswith(":")):
            inner[keys[-1]] = str((folder / (rest or value)).resolve())
