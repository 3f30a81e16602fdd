"""Write the generated files of the chart: the CRDs, the operator's rights, the files of `helm test`, and the schema
and table of its values.

python tools/generate_chart.py            rewrites the files
python tools/generate_chart.py --check    exits with 1 when they are not current

values.yaml is the source for schema and table: the comment above a value describes it, `# @schema {…}` adds to its
schema. chart_schema.py has the kinds of values that a schema names by `"is"`.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from chart_schema import expanded
from learntoask_operator.rbac import OWN, SELECTING, WATCHED, rules

ROOT = Path(__file__).resolve().parent.parent
CHART = ROOT / "charts" / "learntoask"
EXAMPLE = ROOT / "examples" / "pharmacy"
HEAD = "# Made from learntoask_operator/rbac.py by `make chart`; change that instead.\n"
BEGIN, END = "<!-- values: begin -->", "<!-- values: end -->"
_SESSIONS = 60  # first sessions of the example's logs: enough for every stage, few enough for one ConfigMap
_KEEP = "  annotations:\n    helm.sh/resource-policy: keep\n"
_TYPES: dict[type, str] = {
    bool: "boolean",
    int: "integer",
    float: "number",
    str: "string",
    list: "array",
    dict: "object",
}
Json = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Value:
    """One value of values.yaml: its path, its default, its comment, and what `# @schema` adds to its schema."""

    path: tuple[str, ...]
    default: Any
    text: str
    schema: Json


def main() -> int:
    made = files()
    if "--check" in sys.argv:
        stale = [path for path, text in made.items() if not path.is_file() or path.read_text() != text]
        for path in stale:
            print(f"{path.relative_to(ROOT)} is not current: run `make chart`", file=sys.stderr)
        return int(bool(stale))
    for path, text in made.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return 0


def files() -> dict[Path, str]:
    """Return every generated file with its content."""
    made = {
        CHART / "files" / "crds" / path.name: _kept(path.read_text(encoding="utf-8"))
        for path in sorted((ROOT / "manifests" / "crds").glob("*.yaml"))
    }
    rights = {"watched": rules(WATCHED), "selecting": rules(SELECTING), "own": rules(OWN)}
    made[CHART / "files" / "operator-rules.yaml"] = HEAD + yaml.safe_dump(rights, sort_keys=False)
    # Read as bytes, because some lines of the logs are broken on purpose.
    lines = (EXAMPLE / "logs.jsonl").read_bytes().splitlines(keepends=True)
    made[CHART / "files" / "test" / "logs.jsonl"] = b"".join(lines[:_SESSIONS]).decode()
    made[CHART / "files" / "test" / "pack.yaml"] = (EXAMPLE / "pack.yaml").read_text(encoding="utf-8")
    found = list(values((CHART / "values.yaml").read_text(encoding="utf-8")))
    made[CHART / "values.schema.json"] = json.dumps(schema(found), indent=2, ensure_ascii=False) + "\n"
    readme = (CHART / "README.md").read_text(encoding="utf-8")
    head, rest = readme.split(BEGIN)
    _, tail = rest.split(END)
    made[CHART / "README.md"] = f"{head}{BEGIN}\n{table(found)}{END}{tail}"
    return made


def values(text: str) -> Iterator[Value]:
    """Yield the values of a values.yaml in block style, in order; a flow-style mapping is one value."""
    defaults = yaml.safe_load(text)
    path: list[str] = []
    comment: list[str] = []
    extra: Json = {}
    for line in text.splitlines():
        stripped = line.strip()
        if stripped.startswith("# @schema "):
            extra = expanded(json.loads(stripped.removeprefix("# @schema ")))
        elif stripped.startswith("#"):
            comment.append(stripped.lstrip("# "))
        elif not stripped:
            comment, extra = [], {}
        else:
            depth = (len(line) - len(line.lstrip())) // 2
            path = [*path[:depth], stripped.split(":", 1)[0]]
            default = defaults
            for name in path:
                default = default[name]
            if not comment:
                raise SystemExit(f"values.yaml: {'.'.join(path)} has no description")
            yield Value(path=tuple(path), default=default, text=" ".join(comment), schema=extra)
            comment, extra = [], {}


def schema(found: list[Value]) -> Json:
    """Return the JSON schema of the values. It refuses unknown values, so that a misspelt one does not go unnoticed."""
    root: Json = {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "Values of the chart learntoask",
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "global": {"type": "object", "description": "Given by a chart that this one is part of."}
        },
    }
    inner = {value.path[:-1] for value in found}
    for value in found:
        place = root
        for name in value.path[:-1]:
            place = place["properties"][name]
        described: Json = {"description": value.text, "type": _TYPES[type(value.default)], **value.schema}
        if value.path in inner:
            described |= {"additionalProperties": False, "properties": {}}
        place["properties"][value.path[-1]] = described
    return root


def table(found: list[Value]) -> str:
    """Return the table of the README: a row for every value, and a bold row for every group of values."""
    inner = {value.path[:-1] for value in found}
    rows = ["| value | default | meaning |\n|---|---|---|\n"]
    for value in found:
        text = value.text.replace("|", "\\|")
        if value.path in inner:
            rows.append(f"| **`{'.'.join(value.path)}`** | | **{text}** |\n")
            continue
        default = json.dumps(value.default, ensure_ascii=False).replace("|", "\\|")
        rows.append(f"| `{'.'.join(value.path)}` | `{default}` | {text}{_choice(value.schema)} |\n")
    return "".join(rows)


def _choice(extra: Json) -> str:
    return f" One of {', '.join(f'`{option}`' for option in extra['enum'])}." if "enum" in extra else ""


def _kept(text: str) -> str:
    """Return a CRD with the annotation that makes Helm keep it: deleting a CRD would delete every run."""
    head, rest = text.split("metadata:\n", 1)
    return f"{head}metadata:\n{_KEEP}{rest}"


if __name__ == "__main__":
    sys.exit(main())
