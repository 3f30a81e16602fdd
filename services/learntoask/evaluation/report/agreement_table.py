"""Arrange the graders' agreement.json as a table of figures by grader and task group, with a list of other facts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from pydantic import JsonValue

from learntoask.statistics.bootstrap import Estimate

_ROLES = ("reporting", "rewarding")
_GROUPS = ("seen", "unseen", "new_wording")
_ROWS = {
    "kappa": "κ over (question, field) pairs",
    "pair_agreement": "share of pairs judged as the label says",
    "any_hit": "finds at least one item of the label",
    "any_hit_of_all": "… if a missing grade counts as a miss",
    "exact": "finds exactly the items of the label",
    "missing": "grade is missing",
    "refused": "rejected as not a question",
    "known_wording": "the grader was fitted on the same words",
}


@dataclass(frozen=True)
class AgreementTable:
    """A table for the report: `rows` are (name, one figure or None per column), `facts` are (name, text)."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, tuple[Estimate | None, ...]], ...]
    facts: tuple[tuple[str, str], ...]


def agreement_table(agreement: Mapping[str, JsonValue]) -> AgreementTable:
    columns = {heading: figures for heading, node in _columns(agreement) if (figures := dict(_figures(node)))}
    names = dict.fromkeys(name for name in _ROWS if any(name in figures for figures in columns.values()))
    names |= dict.fromkeys(name for figures in columns.values() for name in figures)
    left_out = (*_ROLES, "warnings")  # the report shows warnings as notes
    rest = {name: node for name, node in agreement.items() if name not in left_out and not _is_figure(node)}
    for role in _ROLES:
        node = agreement.get(role)
        if isinstance(node, dict):
            rest[role] = {
                name: child for name, child in node.items() if name not in _GROUPS and not _is_figure(child)
            }
    return AgreementTable(
        columns=tuple(columns),
        rows=tuple(
            (_ROWS.get(name, _readable(name)), tuple(figures.get(name) for figures in columns.values()))
            for name in names
        ),
        facts=tuple(_facts(rest)),
    )


def _columns(agreement: Mapping[str, JsonValue]) -> Iterator[tuple[str, JsonValue]]:
    for role in _ROLES:
        node = agreement.get(role, dict(agreement) if role == "reporting" else None)
        yield role, node
        if isinstance(node, dict):
            for group in _GROUPS:
                yield f"{role}, {_readable(group)}", node.get(group)


def _figures(node: JsonValue) -> Iterator[tuple[str, Estimate]]:
    if isinstance(node, dict):
        for name, child in node.items():
            if isinstance(child, dict) and _is_figure(child):
                n = child.get("n", node.get("questions", 0))
                yield (
                    name,
                    Estimate.model_validate(
                        {"value": child["value"], "low": child["low"], "high": child["high"], "n": n}
                    ),
                )


def _is_figure(node: JsonValue) -> bool:
    return isinstance(node, dict) and {"value", "low", "high"} <= node.keys()


def _facts(node: dict[str, JsonValue], path: tuple[str, ...] = ()) -> Iterator[tuple[str, str]]:
    """Yield figures and plain values as text; the plain values of one object share a line.

    Digests are left out because another part of the report shows them.
    """
    plain = []
    for name, child in node.items():
        if isinstance(child, dict) and "value" in child:
            yield ", ".join((*path, _readable(name))), _figure(child)
        elif isinstance(child, dict):
            yield from _facts(child, (*path, _readable(name)))
        elif name != "digest":
            plain.append((_readable(name), _text(child)))
    if plain and path:
        yield ", ".join(path), "; ".join(f"{name} {text}" for name, text in plain)
    else:
        yield from plain


def _figure(node: dict[str, JsonValue]) -> str:
    about = [f"{_text(node['low'])} – {_text(node['high'])}"] if _is_figure(node) else []
    about += [f"n = {_text(node['n'])}"] if "n" in node else []
    return _text(node["value"]) + (f" ({', '.join(about)})" if about else "")


def _readable(name: str) -> str:
    return name.replace("_", " ")


def _text(value: JsonValue) -> str:
    if isinstance(value, list):
        return ", ".join(_text(child) for child in value)
    if isinstance(value, float):
        return f"{value:.3f}"
    return "–" if value is None else str(value)
