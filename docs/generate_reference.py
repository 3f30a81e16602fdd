"""Write the manifest reference into README.md, between its markers, from the pydantic models.

python docs/generate_reference.py            rewrites the file
python docs/generate_reference.py --check    exits with 1 when the file is not current
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
    return "".join(_section("spec", definitions["RunSpec"], definitions))


def _section(path: str, model: dict[str, Any], definitions: dict[str, Any]) -> list[str]:
    rows, below = [], []
    for name, field in model["properties"].items():
        nested = _reference_of(field)
        if nested:
            below += _section(f"{path}.{name}", definitions[nested], definitions)
            continue
        rows.append(f"| `{name}` | {_type(field)} | {_default(name, field, model)} | {_text(field)} |\n")
        for inner in _items_of(field):
            below += _section(f"{path}.{name}[]", definitions[inner], definitions)
    heading = f"\n**`{path}`** {_text(model)}\n\n| field | type | default | meaning |\n|---|---|---|---|\n"
    return ([heading, *rows] if rows else []) + below


def _reference_of(field: dict[str, Any]) -> str | None:
    return field["$ref"].rsplit("/", 1)[1] if "$ref" in field else None


def _items_of(field: dict[str, Any]) -> list[str]:
    inner = _reference_of(field.get("items", {}))
    return [inner] if inner else []


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
    return "–" if value in (None, [], {}) else f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _text(schema: dict[str, Any]) -> str:
    return " ".join(schema.get("description", "").split()).replace("|", "\\|")


if __name__ == "__main__":
    sys.exit(main())
