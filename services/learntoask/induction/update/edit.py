"""Make changes in the text of a pack, where they belong, and leave the rest of the text as it is."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from learntoask.core.errors import InputError
from learntoask.core.pack import parse_pack
from learntoask.induction.output.pack_data import field_data
from learntoask.induction.output.pack_yaml import entry, field_lines, scalar
from learntoask.induction.update.changes import Change, NewField, NewPattern, WrongPattern

_OURS = 6  # columns by which `field_lines` indents an entry


@dataclass(frozen=True)
class _Edit:
    """Replace `text[start:end]` by `new`."""

    start: int
    end: int
    new: str


def edited(text: str, changes: Sequence[Change], *, where: str) -> str:
    """Return the text of the pack with the changes. Raises InputError where the text has no place for one."""
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    edits: list[_Edit] = []
    if not text.endswith("\n"):
        text += "\n"
    for task, node in _named(_value(root, "tasks")):
        fields = _value(node, "fields")
        for field, of_field in _named(fields):
            own = [
                one
                for one in changes
                if not isinstance(one, NewField) and (one.task, one.field) == (task, field)
            ]
            added = [one.pattern for one in own if isinstance(one, NewPattern)]
            removed = {one.pattern for one in own if isinstance(one, WrongPattern)}
            if added or removed:
                edits += _patterns(text, of_field, added, removed, where)
        new = [one for one in changes if isinstance(one, NewField) and one.task == task]
        if new:
            edits.append(_fields(text, fields, new, where))
    # The last first; of several insertions at one place, the later one goes in first and so comes after.
    for _, edit in sorted(enumerate(edits), key=lambda one: (one[1].start, one[1].end, one[0]), reverse=True):
        text = text[: edit.start] + edit.new + text[edit.end :]
    parse_pack(text, where=f"{where} with the suggested changes")
    return text


def diff(old: str, new: str, *, name: str) -> str:
    """Return the difference of two texts in unified form; empty if they are equal."""
    return "".join(
        difflib.unified_diff(old.splitlines(True), new.splitlines(True), name, f"{name} (suggested)")
    )


def _patterns(
    text: str, field: MappingNode, added: Sequence[str], removed: set[str], where: str
) -> Iterator[_Edit]:
    """Yield the edits of a field's list of patterns."""
    listed = _value(field, "patterns")
    if listed is None:
        _must_be_block(field, where)
        end = _line_end(text, _end(field))
        lines = entry("patterns", list(added), indent=field.start_mark.column)
        yield _Edit(end, end, "".join(f"{line}\n" for line in lines))
        return
    if not isinstance(listed, SequenceNode):
        raise InputError(f"{where}, line {listed.start_mark.line + 1}: patterns is not a list")
    kept = [item.value for item in listed.value if item.value not in removed]
    if listed.flow_style:
        items = f",\n{' ' * (listed.start_mark.column + 1)}".join(map(scalar, (*kept, *added)))
        yield _Edit(listed.start_mark.index, listed.end_mark.index, f"[{items}]")
        return
    if not kept and not added:
        key = next(key for key, value in field.value if value is listed)
        yield _Edit(key.end_mark.index, _end(listed), ": []")
        return
    for item in listed.value:
        if item.value in removed:
            yield _Edit(_line_start(text, item.start_mark.index), _line_end(text, item.end_mark.index), "")
    dash = " " * listed.value[0].start_mark.column
    end = _line_end(text, _end(listed))
    new = "".join(f"{dash[:-2]}- {scalar(pattern)}\n" for pattern in added)
    yield _Edit(end, end, new)


def _fields(text: str, fields: Node | None, new: Sequence[NewField], where: str) -> _Edit:
    """Return the edit that adds fields to the end of a task's list."""
    assert isinstance(fields, SequenceNode)
    _must_be_block(fields, where)
    end = _line_end(text, _end(fields))
    shift = fields.start_mark.column - _OURS
    lines = [line for one in new for line in field_lines(one.use, field_data(one.use))]
    moved = [" " * shift + line if shift >= 0 else line[-shift:] for line in lines]
    return _Edit(end, end, "".join(f"{line}\n" for line in moved))


def _must_be_block(node: MappingNode | SequenceNode, where: str) -> None:
    if node.flow_style:
        raise InputError(
            f"{where}, line {node.start_mark.line + 1}: nothing can be added between braces or brackets; write it "
            "with one key or item a line, or add the changes by hand"
        )


def _named(nodes: Node | None) -> Iterator[tuple[str, MappingNode]]:
    for node in nodes.value if isinstance(nodes, SequenceNode) else ():
        name = _value(node, "name")
        if isinstance(node, MappingNode) and isinstance(name, ScalarNode):
            yield name.value, node


def _value(node: Node | None, key: str) -> Node | None:
    pairs = node.value if isinstance(node, MappingNode) else ()
    return next((value for name, value in pairs if name.value == key), None)


def _end(node: Node) -> int:
    """Return the offset after the last character of a node, without the comments that follow it."""
    if isinstance(node, MappingNode) and not node.flow_style and node.value:
        return _end(node.value[-1][1])
    if isinstance(node, SequenceNode) and not node.flow_style and node.value:
        return _end(node.value[-1])
    return node.end_mark.index


def _line_start(text: str, offset: int) -> int:
    return text.rfind("\n", 0, offset) + 1


def _line_end(text: str, offset: int) -> int:
    """Return the offset of the line after that of `offset`."""
    found = text.find("\n", offset)
    return len(text) if found < 0 else found + 1
