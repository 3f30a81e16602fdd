"""Load YAML: numbers as in YAML 1.2, and no mapping that gives a key twice, of which PyYAML keeps the last."""

from __future__ import annotations

import re
from typing import Any

import yaml
from yaml.nodes import MappingNode

from learntoask.core.documents.positions import Positions

_HINTS = {
    "cannot start any token": "put the value in quotes; indent with spaces, not with tabs",
    "mapping values are not allowed": "indent fields that belong together alike, and put a text with `: ` in quotes",
    "could not find expected ':'": "write `name: value`",
    "expected '<document start>'": "write one document of `name: value`; a file with an object on each line are logs",
    "but found another document": "write one document into a file, without a second `---`",
    "found undefined alias": "put a text that begins with * in quotes",
    "found unknown escape character": "put a pattern between single quotes",
    "could not determine a constructor": "remove the tag, or put a text that begins with ! in quotes",
}


def load_yaml(text: str) -> Any:
    """Return the content of a YAML document. Raises yaml.YAMLError, with the line, for a key that is given twice."""
    return yaml.load(text, Loader=_Loader)


def positions(text: str) -> Positions:
    """Return the positions of the fields of a YAML document that `load_yaml` reads."""
    return Positions(yaml.compose(text, Loader=_Loader))


def fault(error: yaml.YAMLError) -> tuple[int | None, str]:
    """Return line (from 1) and description of a fault that `load_yaml` found, with what to do about it."""
    if isinstance(error, yaml.reader.ReaderError):
        return None, f"it holds the character U+{ord(str(error.character)):04X}; remove it"
    if not isinstance(error, yaml.MarkedYAMLError) or error.problem is None:
        return None, str(error)
    hint = next((hint for part, hint in _HINTS.items() if part in error.problem), "")
    if error.context and "flow" in error.context:
        hint = hint or "close every bracket and quotation mark"
    mark = error.problem_mark or error.context_mark
    return mark.line + 1 if mark else None, "; ".join(filter(None, (error.problem, hint)))


class _Loader(yaml.SafeLoader):
    def flatten_mapping(self, node: MappingNode) -> None:
        """Check the keys as they are written, then merge `<<` into them, which may repeat keys on purpose."""
        first: dict[tuple[str, str], int] = {}
        for key, _ in node.value:
            line = key.start_mark.line + 1
            if (key.tag, str(key.value)) in first:
                earlier = first[key.tag, str(key.value)]
                raise yaml.constructor.ConstructorError(
                    None,
                    None,
                    f"key {key.value!r} is given twice, in lines {earlier} and {line}; keep one of them",
                    key.start_mark,
                )
            first[key.tag, str(key.value)] = line
        super().flatten_mapping(node)


_Loader.add_implicit_resolver(  # YAML 1.1, which PyYAML reads, takes `3e-4` for a text
    "tag:yaml.org,2002:float", re.compile(r"[-+]?[0-9]+(\.[0-9]*)?[eE][-+]?[0-9]+$"), list("-+0123456789")
)
