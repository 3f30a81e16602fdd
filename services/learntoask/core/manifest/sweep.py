"""`LearnToAskSweep`: a few runs that differ from one manifest in named ways, to be compared."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, JsonValue, model_validator

from learntoask.core.manifest.model import ManifestModel, Name, Uri
from learntoask.core.manifest.run import Metadata

Changes = dict[str, JsonValue]


class Variant(ManifestModel):
    name: Name
    spec: Changes = Field(default_factory=dict)
    """What differs from the base manifest's `spec`, nested as it is there; `null` restores a default."""


class SweepCurve(ManifestModel):
    """One field, varied; the report draws the metrics against it."""

    field: Annotated[str, Field(pattern=r"^[a-z][A-Za-z]*(\.[a-z][A-Za-z]*)*$")]
    """Such as `train.reward.contentWeight` or `dataset.corrupt.sloppy`."""
    values: Annotated[list[float], Field(min_length=2, max_length=50)]
    title: Annotated[str, Field(max_length=200)] | None = None

    @property
    def label(self) -> str:
        return self.title or self.field

    def variant(self, value: float) -> Variant:
        changes: JsonValue = int(value) if value.is_integer() else value
        *_, last = path = self.field.split(".")
        for part in reversed(path):
            changes = {part: changes}
        name = f"{last}-{value:g}".lower().replace(".", "-").replace("+", "")
        return Variant.model_validate({"name": name, "spec": changes})


class SweepSpec(ManifestModel):
    base: Uri
    """The run manifest that all start from: a path relative to this file. Paths in changes are relative to the base
    manifest."""
    spec: Changes = Field(default_factory=dict)
    """What differs from the base manifest in all of them."""
    variants: list[Variant] = Field(default_factory=list)
    """The first one is what the others are compared with."""
    curves: list[SweepCurve] = Field(default_factory=list)

    @model_validator(mode="after")
    def _named_once(self) -> SweepSpec:
        names = [variant.name for variant in self.all_variants]
        if not names:
            raise ValueError("name at least one variant or curve")
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"these variants are named more than once: {', '.join(twice)}")
        return self

    @property
    def all_variants(self) -> list[Variant]:
        """The named ones, then those of the curves."""
        return [*self.variants, *(curve.variant(value) for curve in self.curves for value in curve.values)]


class LearnToAskSweep(ManifestModel):
    api_version: Literal["learntoask.io/v1alpha1"]
    kind: Literal["LearnToAskSweep"]
    metadata: Metadata
    spec: SweepSpec


def merge_changes(spec: Changes, changes: Changes) -> Changes:
    """`spec` with `changes` in it: objects are merged, anything else is replaced, `null` removed."""
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
