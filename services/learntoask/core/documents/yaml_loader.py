"""Load YAML, and refuse a mapping that gives a key twice, of which PyYAML silently keeps the last."""

from __future__ import annotations

from typing import Any

import yaml
from yaml.nodes import MappingNode


def load_yaml(text: str) -> Any:
    """Return the content of a YAML document. Raises yaml.YAMLError, with the line, for a key that is given twice."""
    return yaml.load(text, Loader=_UniqueKeyLoader)


class _UniqueKeyLoader(yaml.SafeLoader):
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
