"""The CustomResourceDefinitions: they are current, described, bounded, and as strict as the models."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from learntoask.core.crd import DEFINITIONS, custom_resource_definition
from learntoask.core.crd.rules import RULES, Rule, Rules, metric_pattern
from learntoask.core.crd.schema import structural_schema
from learntoask.core.manifest import ManifestModel
from learntoask.core.manifest.metric import check_metric, metric_names
from pydantic import Field

ROOT = Path(__file__).resolve().parents[3]
SCHEMAS = {
    definition.kind: custom_resource_definition(definition)["spec"]["versions"][0]["schema"][
        "openAPIV3Schema"
    ]
    for definition in DEFINITIONS
}


def _nodes(schema: dict[str, Any], path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    yield path, schema
    for name, inner in schema.get("properties", {}).items():
        yield from _nodes(inner, f"{path}.{name}")
    for part in ("items", "additionalProperties"):
        if part in schema:
            yield from _nodes(schema[part], f"{path}[]")


def test_the_committed_definitions_are_current() -> None:
    command = [sys.executable, ROOT / "tools" / "generate_crds.py", "--check"]
    assert subprocess.run(command, check=False).returncode == 0, "run `make crds`"


@pytest.mark.parametrize("kind", SCHEMAS)
def test_every_field_is_described(kind: str) -> None:
    # Pod templates are all alike, and the first one describes their fields.
    repeated = re.compile(r"LearnToAskRun\.spec\.pods\.(?!all\.)\w+\.")
    silent = [
        path
        for path, node in _nodes(SCHEMAS[kind], kind)
        if "description" not in node and not repeated.match(path)
    ]
    assert [path for path in silent if "[]" not in path.rsplit(".", 1)[-1]] == [f"{kind}.metadata"]


@pytest.mark.parametrize("kind", SCHEMAS)
def test_everything_is_bounded(kind: str) -> None:
    for path, node in _nodes(SCHEMAS[kind], kind):
        if node.get("type") == "string" and path.count(".") > 1:
            assert {"maxLength", "enum", "format"} & set(node), path
        if node.get("type") == "array":
            assert "maxItems" in node, path
        if "additionalProperties" in node:
            assert "maxProperties" in node, path


@pytest.mark.parametrize("kind", SCHEMAS)
def test_no_default_holds_a_null_which_the_api_server_refuses(kind: str) -> None:
    def nulls(value: Any) -> bool:
        if isinstance(value, dict | list):
            return any(map(nulls, value.values() if isinstance(value, dict) else value))
        return value is None

    found = [path for path, node in _nodes(SCHEMAS[kind], kind) if nulls(node.get("default", 0))]
    assert found == []


def test_the_pattern_of_metrics_knows_all() -> None:
    pattern = metric_pattern()
    assert [name for name in (*metric_names(), "grader.kappa") if not re.search(pattern, name)] == []


@pytest.mark.parametrize(
    "name",
    ["", "WS_stop", "ws-stop", "xWS-stop", "WS-stop ", "unseen", "grpo-base.TA", "gap.TA", "graders.kappa"],
)
def test_the_pattern_of_metrics_knows_no_other(name: str) -> None:
    assert not re.search(metric_pattern(), name)
    with pytest.raises(ValueError, match="no report has a metric"):
        check_metric(name)


class _Inner(ManifestModel):
    """An inner one."""

    count: Annotated[int, Field(gt=0)] = 3
    """How many."""
    note: str | None = None
    """A note."""


class _Outer(ManifestModel):
    inner: _Inner = _Inner(count=5)
    """What it holds."""
    either: int | str = 0
    """A number or a word."""
    share: Annotated[float, Field(gt=0, lt=1)] | Literal["auto"] = 0.2
    """A share, or `auto`."""


def test_a_default_says_only_what_those_below_do_not() -> None:
    schema = structural_schema(_Outer, {}, defaults=True)
    inner = schema["properties"]["inner"]
    assert inner["default"] == {"count": 5}
    assert inner["description"] == "What it holds. An inner one."
    assert inner["properties"]["count"] == {
        "type": "integer",
        "format": "int64",
        "minimum": 0,
        "exclusiveMinimum": True,
        "default": 3,
        "description": "How many. Defaults to 3.",
    }
    assert inner["properties"]["note"] == {"type": "string", "maxLength": 4096, "description": "A note."}
    assert schema["properties"]["either"]["x-kubernetes-int-or-string"] is True
    share = schema["properties"]["share"]
    assert "type" not in share
    assert (share["default"], share["x-kubernetes-preserve-unknown-fields"]) == (0.2, True)
    assert share["description"] == "A share, or `auto`. Defaults to 0.2."
    assert {"enum": ["auto"]} in share["anyOf"]


def test_a_status_has_no_defaults() -> None:
    assert not [
        path
        for path, node in _nodes(SCHEMAS["LearnToAskRun"]["properties"]["status"], "")
        if "default" in node
    ]


def test_a_rule_for_a_field_that_is_gone_is_refused() -> None:
    with pytest.raises(ValueError, match=r"_Outer: there are rules for unknown fields: gone"):
        structural_schema(
            _Outer, {"_Outer": Rules(fields={"gone": (Rule(cel="true", message=""),)})}, defaults=True
        )


def test_what_a_structural_schema_cannot_say_is_refused() -> None:
    class Choice(ManifestModel):
        which: _Inner | _Outer

    with pytest.raises(ValueError, match=r"Choice\.which: a choice between types"):
        structural_schema(Choice, {}, defaults=True)


def test_every_rule_belongs_to_a_model() -> None:
    """Rules refer to models by class name, so a renamed model would silently lose its rules."""
    models: set[str] = set()
    for definition in DEFINITIONS:
        for model in (definition.spec, definition.status):
            models |= {model.__name__, *model.model_json_schema().get("$defs", {})}
    assert set(RULES) <= models
