"""Where in a YAML document a field stands, and how its value is written there."""

from __future__ import annotations

from collections.abc import Sequence

from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

_MERGE = "tag:yaml.org,2002:merge"


class Positions:
    """Finds fields in the nodes of a YAML document. A path holds keys and indices, as in a pydantic error."""

    def __init__(self, root: Node | None) -> None:
        self._root = root

    def line(self, path: Sequence[int | str]) -> int | None:
        """Return the line, from 1, of the field at `path`, or of the nearest field around it that is there."""
        if self._root is None:
            return None
        node, line = self._root, self._root.start_mark.line
        for part in path:
            key, value = _entry(node, part)
            if value is None:
                break
            node, line = value, (key or value).start_mark.line
        return line + 1

    def depth(self, path: Sequence[int | str]) -> int:
        """Return how many parts of `path` lead to a field that is there."""
        node = self._root
        for depth, part in enumerate(path):
            node = _entry(node, part)[1]
            if node is None:
                return depth
        return len(path)

    def written(self, path: Sequence[int | str]) -> str | None:
        """Return the text of a value without quotes, such as `yes` for true; None where there is no such value."""
        node = self._root
        for part in path:
            node = _entry(node, part)[1]
        return node.value if isinstance(node, ScalarNode) and node.style is None else None


def _entry(node: Node | None, part: int | str) -> tuple[Node | None, Node | None]:
    """Return key and value of an entry of a mapping, which may be merged into it, or an element of a list."""
    if isinstance(node, SequenceNode) and isinstance(part, int) and part < len(node.value):
        return None, node.value[part]
    if isinstance(node, MappingNode):
        for key, value in node.value:
            if key.value == str(part):
                return key, value
        for key, value in node.value:
            if key.tag == _MERGE:
                merged = value.value if isinstance(value, SequenceNode) else [value]
                found = next(
                    (entry for source in merged if (entry := _entry(source, part))[1] is not None), None
                )
                if found is not None:
                    return found
    return None, None
