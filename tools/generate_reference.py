"""Write docs/reference.md, the manifest reference, from the pydantic models of the manifest.

python tools/generate_reference.py            rewrites the page
python tools/generate_reference.py --check    exits with 1 when the page is not current
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from learntoask.core.manifest import LearnToAskRun
from learntoask.core.manifest.strategy import Strategy

PAGE = Path(__file__).resolve().parent.parent / "docs" / "reference.md"
HEAD = """# Manifest reference

This page lists every field of a `LearnToAskRun`, and of the strategy of a [rollout](rollout.md): its type, its default
and what it means. `make docs` generates it
from the models in `services/learntoask/core/manifest/`; change their docstrings, not this page. [Your own
logs](packs.md) shows a manifest at work, and `lta schema` prints the same as a JSON schema for editors.

A manifest needs only `spec.dataset.uri` and `spec.pack.uri`. An unknown field is an error that names the nearest known
one.
"""


def main() -> int:
    current = HEAD + reference()
    if "--check" in sys.argv:
        return int(not PAGE.is_file() or current != PAGE.read_text(encoding="utf-8"))
    PAGE.write_text(current, encoding="utf-8")
    return 0


def reference() -> str:
    """Return one table for each section of the spec: field, type, default, meaning."""
    schema = LearnToAskRun.model_json_schema(by_alias=True)
    definitions = schema["$defs"]
    run = _section("spec", definitions["RunSpec"], definitions, described={})
    strategy = Strategy.model_json_schema(by_alias=True)
    return "".join([*run, *_section("strategy", strategy, strategy["$defs"], described={})])


def _section(
    path: str, model: dict[str, Any], definitions: dict[str, Any], *, described: dict[str, str]
) -> list[str]:
    """Return the table of `model` at `path`, then the tables of the models in its fields.

    `described` maps each model that has a table already to its path; the field refers to that table instead.
    """
    rows, below = [], []
    for name, field in model["properties"].items():
        nested = _reference_of(field)
        inner = nested or _reference_of(field.get("items", {}))
        known = described.get(inner) if inner else None
        if not nested or known or "anyOf" in field:
            text = _text(field) + (f" Fields as in `{known}`." if known else "")
            rows.append(f"| `{name}` | {_type(field)} | {_default(name, field, model)} | {text.strip()} |\n")
        if inner and not known:
            below_path = f"{path}.{name}" if nested else f"{path}.{name}[]"
            described[inner] = below_path
            below += _section(below_path, definitions[inner], definitions, described=described)
    text = _text(model)
    heading = f"\n## `{path}`\n" + (f"{text}\n" if text else "")
    table = "\n| field | type | default | meaning |\n|---|---|---|---|\n"
    return ([heading, table, *rows] if rows else []) + below


def _reference_of(field: dict[str, Any]) -> str | None:
    """Return the name of the model that a field holds, None for a plain value."""
    options = [option for option in field.get("anyOf", [field]) if "$ref" in option]
    return options[0]["$ref"].rsplit("/", 1)[1] if options else None


def _type(field: dict[str, Any]) -> str:
    options = [option for option in field.get("anyOf", [field]) if option.get("type") != "null"]
    words = [f" \\| `{option['const']}`" for option in options[1:] if "const" in option]
    return "".join([_type_of_one(options[0]), *words])


def _type_of_one(option: dict[str, Any]) -> str:
    if "enum" in option:
        return " \\| ".join(f"`{value}`" for value in option["enum"])
    bounds = [
        f"{sign} {option[key]:g}"
        for key, sign in (
            ("minimum", "≥"),
            ("exclusiveMinimum", ">"),
            ("maximum", "≤"),
            ("exclusiveMaximum", "<"),
        )
        if key in option
    ]
    return ", ".join([str(option.get("type", "object")), *bounds])


def _default(name: str, field: dict[str, Any], model: dict[str, Any]) -> str:
    if name in model.get("required", []):
        return "required"
    value = field.get("default")
    if value in (None, []) or isinstance(value, dict):
        return "–"
    if isinstance(value, list) and isinstance(value[0], dict):
        return "see its table"
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _text(schema: dict[str, Any]) -> str:
    return " ".join(schema.get("description", "").split()).replace("|", "\\|")


if __name__ == "__main__":
    sys.exit(main())
