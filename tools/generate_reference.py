"""Write the manifest reference into README.md, between its markers, from the pydantic models.

python tools/generate_reference.py            rewrites the file
python tools/generate_reference.py --check    exits with 1 when the file is not current
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from learntoask.core.manifest import LearnToAskRun

README = Path(__file__).resolve().parent.parent / "README.md"
BEGIN, END = "<!-- reference: begin -->", "<!-- reference: end -->"


def main() -> int:
    text = README.read_text(encoding="utf-8")
    head, rest = text.split(BEGIN)
    _, tail = rest.split(END)
    current = f"{head}{BEGIN}\n{reference()}{END}{tail}"
    if "--check" in sys.argv:
        return int(current != text)
    README.write_text(current, encoding="utf-8")
    return 0


def reference() -> str:
    """A table a section of the spec: field, type, default, meaning."""
    schema = LearnToAskRun.model_json_schema(by_alias=True)
    definitions = schema["$defs"]
    return "".join(_section("spec", definitions["RunSpec"], definitions, described={}))


def _section(
    path: str, model: dict[str, Any], definitions: dict[str, Any], *, described: dict[str, str]
) -> list[str]:
    """The table of one model and of those below it; one that was `described` before (model → path) is referred to."""
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
    heading = f"\n**`{path}`** {_text(model)}\n\n| field | type | default | meaning |\n|---|---|---|---|\n"
    return ([heading, *rows] if rows else []) + below


def _reference_of(field: dict[str, Any]) -> str | None:
    """The model of a field, optional or not."""
    options = [option for option in field.get("anyOf", [field]) if "$ref" in option]
    return options[0]["$ref"].rsplit("/", 1)[1] if options else None


def _type(field: dict[str, Any]) -> str:
    options = [option for option in field.get("anyOf", [field]) if option.get("type") != "null"]
    option = options[0]
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
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _text(schema: dict[str, Any]) -> str:
    return " ".join(schema.get("description", "").split()).replace("|", "\\|")


if __name__ == "__main__":
    sys.exit(main())
