"""`LearnToAskSweep`: runs that are compared, each given by its differences from one base manifest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field, JsonValue, model_validator

from learntoask.core.manifest.address import Uri
from learntoask.core.manifest.form import Form
from learntoask.core.manifest.model import ManifestModel, Name
from learntoask.core.manifest.run import Metadata

Changes = dict[str, JsonValue]
FieldPath = Annotated[
    str,
    Field(max_length=300),
    Form(
        r"[a-z][A-Za-z]*(\.[a-z][A-Za-z]*)*",
        "write the path of a field below spec, such as train.reward.contentWeight",
    ),
]


class Variant(ManifestModel):
    """One run of a sweep."""

    name: Name
    """Name of the variant in the report."""
    spec: Changes = Field(default_factory=dict)
    """Differences from the `spec` of the base manifest, with the same nesting; `null` restores a default."""


@dataclass(frozen=True)
class SeededVariant:
    """A variant with the seed that it is trained with; None where the manifest gives the seed."""

    variant: Variant
    seed: int | None

    @property
    def name(self) -> str:
        return self.variant.name if self.seed is None else f"{self.variant.name}-seed-{self.seed}"

    @property
    def spec(self) -> Changes:
        seeded: Changes = {} if self.seed is None else {"train": {"seed": self.seed}}
        return merge_changes(self.variant.spec, seeded)


class SweepCurve(ManifestModel):
    """One run for each of several values of a field. The report plots the metrics against the values."""

    field: FieldPath
    """Path of the field in `spec`, such as `train.reward.contentWeight` or `dataset.corrupt.sloppy`."""
    values: Annotated[list[float], Field(min_length=2, max_length=50)]
    """Values of the field."""
    title: Annotated[str, Field(max_length=200)] | None = None
    """Label of the axis; the path of the field if left out."""

    @property
    def label(self) -> str:
        return self.title or self.field

    def variant(self, value: float) -> Variant:
        """Return the variant with `value` in the field; its name is the last part of the path and the value."""
        changes: JsonValue = int(value) if value.is_integer() else value
        *_, last = path = self.field.split(".")
        for part in reversed(path):
            changes = {part: changes}
        name = f"{last}-{value:g}".lower().replace(".", "-").replace("+", "")
        return Variant.model_validate({"name": name, "spec": changes})


class SweepSpec(ManifestModel):
    """The runs of a sweep."""

    base: Uri
    """Path of the base manifest (LearnToAskRun), relative to this file. Paths in the differences are relative to the
    base manifest."""
    spec: Changes = Field(default_factory=dict)
    """Differences from the base manifest that all runs of the sweep share."""
    variants: list[Variant] = Field(default_factory=list)
    """Runs of the sweep. The report compares the others with the first one."""
    curves: list[SweepCurve] = Field(default_factory=list)
    """Fields that are varied; each of their values is a further run."""
    seeds: Annotated[list[Annotated[int, Field(ge=0, le=2**31 - 1)]], Field(max_length=20)] = Field(
        default_factory=list
    )
    """Values of `train.seed` with which every variant is trained, such as `[0, 1, 2]`. The report then gives mean and
    spread over the seeds, and intervals that hold over sessions and seeds. If left out, each variant is one run."""

    @model_validator(mode="after")
    def _named_once(self) -> SweepSpec:
        if len(set(self.seeds)) < len(self.seeds):
            raise ValueError("seeds names the same seed twice")
        names = [variant.name for variant in self.all_variants]
        if self.seeds:
            names += [run.name for run in self.runs]
        if not names:
            raise ValueError("name at least one variant or curve")
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"these variants are named more than once: {', '.join(twice)}")
        with_seed = [one.name for one in self.all_variants if _seed_of(merge_changes(self.spec, one.spec))]
        if self.seeds and with_seed:
            raise ValueError(f"give seeds, or train.seed in {', '.join(with_seed)}, but not both")
        return self

    @property
    def runs(self) -> list[SeededVariant]:
        """Every variant with every seed, in the order of `all_variants`."""
        seeds: list[int | None] = [*self.seeds] or [None]
        return [SeededVariant(variant, seed) for variant in self.all_variants for seed in seeds]

    @property
    def all_variants(self) -> list[Variant]:
        """The variants in `variants`, then those of the curves."""
        return [*self.variants, *(curve.variant(value) for curve in self.curves for value in curve.values)]


class LearnToAskSweep(ManifestModel):
    """Runs that are compared in one report."""

    api_version: Literal["learntoask.io/v1alpha1"]
    kind: Literal["LearnToAskSweep"]
    metadata: Metadata
    spec: SweepSpec


def _seed_of(spec: Changes) -> JsonValue:
    train = spec.get("train")
    return train.get("seed") if isinstance(train, dict) else None


def merge_changes(spec: Changes, changes: Changes) -> Changes:
    """Return `spec` with `changes` merged into it: objects are merged, other values are replaced, and `null` removes
    a value."""
    result = dict(spec)
    for name, value in changes.items():
        old = result.get(name)
        if value is None:
            result.pop(name, None)
        elif isinstance(value, dict):
            result[name] = merge_changes(old if isinstance(old, dict) else {}, value)
        else:
            result[name] = value
    return result
