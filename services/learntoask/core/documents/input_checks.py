"""Validation of the documents that users write, and messages for the errors that pydantic finds in them."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from learntoask.core.documents.messages import Path, dotted, path_of, problem
from learntoask.core.documents.positions import Positions
from learntoask.core.documents.yaml_loader import fault, load_yaml, positions
from learntoask.core.errors import InputError

Document = TypeVar("Document", bound=BaseModel)
_SHOWN = 5  # places of the same fault that are listed
_USER = re.compile(r"://[^\s'\"]*@")  # credentials in an address must not reach terminals and logs


def parse_document(text: str, model: type[Document], *, where: str) -> Document:
    """Validate a YAML document. Raises InputError, whose lines have the form `where:line: field: what is wrong`."""
    try:
        content = load_yaml(text)
    except yaml.YAMLError as error:
        line, problem = fault(error)
        raise InputError(f"{_place(where, line)}: this is not valid YAML: {problem}") from error
    except RecursionError as error:
        raise InputError(f"{where}: this is not valid YAML: it is nested too deeply") from error
    try:
        return _validated(content, model)
    except ValidationError as error:
        found = positions(text)
        raise InputError(
            "\n".join(
                f"{_place(where, found.line(finding.place))}: {finding}"
                for finding in _findings(error, model, found)
            )
        ) from error


def check_document(content: object, model: type[Document], *, where: str | Callable[[Path], str]) -> Document:
    """Validate the content of a document, whose keys are camelCase. Raises InputError.

    The lines of the error begin with `where`, or with what it returns for the path of the field at fault.
    """
    try:
        return _validated(content, model)
    except ValidationError as error:
        raise InputError(
            "\n".join(
                f"{where if isinstance(where, str) else where(finding.place)}: {finding}"
                for finding in _findings(error, model)
            )
        ) from error


def explain(error: ValidationError, model: type[BaseModel]) -> str:
    """Return one line for each error, `path: what is wrong`, with the field names as the user writes them.

    For an unknown field the line names the closest known one. The same error of several entries of a list is one line.
    """
    return "\n".join(str(finding) for finding in _findings(error, model))


@dataclass
class _Finding:
    """A fault. `others` are the paths of the same fault in other entries of a list."""

    path: Path
    problems: list[str]
    others: list[Path] = field(default_factory=list)

    @property
    def place(self) -> Path:
        """The field at fault. A rule between fields begins with the name of one, whose line is nearer than theirs."""
        return (*self.path, self.problems[0].split(" ", 1)[0].rstrip(":"))

    def __str__(self) -> str:
        text = f"{dotted(self.path)}: {' or '.join(dict.fromkeys(self.problems))}"
        if not self.others:
            return text
        more = f" and {len(self.others) - _SHOWN} more" if len(self.others) > _SHOWN else ""
        return f"{text} (the same at {', '.join(map(dotted, self.others[:_SHOWN]))}{more})"


def _validated(content: object, model: type[Document]) -> Document:
    return model.model_validate(content, by_alias=True, by_name=False)


def _place(where: str, line: int | None) -> str:
    return where if line is None else f"{where}:{line}"


def _findings(
    error: ValidationError, model: type[BaseModel], found: Positions | None = None
) -> list[_Finding]:
    errors = error.errors(include_url=False)
    deepest = {path_of(each)[:depth] for each in errors for depth in range(len(path_of(each)))}
    by_path: dict[Path, _Finding] = {}
    kinds: dict[Path, list[tuple[str, ...]]] = {}
    for each in errors:
        path = path_of(each)
        if each["type"] == "too_short" and path in deepest:
            continue  # pydantic counts only the valid entries of a list, and a line about the invalid one is here
        finding = by_path.setdefault(path, _Finding(path, []))
        finding.problems.append(_problem(each, model, found))
        kinds.setdefault(path, []).append((each["type"], problem(each)))
    alike: dict[object, _Finding] = {}
    for path, finding in by_path.items():
        kind = (tuple("*" if isinstance(part, int) else part for part in path), tuple(kinds[path]))
        first = alike.setdefault(kind, finding)
        if first is not finding:
            first.others.append(path)
    return list(alike.values())


def _problem(finding: ErrorDetails, model: type[BaseModel], found: Positions | None) -> str:
    path = path_of(finding)
    if finding["type"] == "missing":
        return problem(finding)
    if finding["type"] == "extra_forbidden":
        known = _field_names(model, path[:-1])
        near = difflib.get_close_matches(str(path[-1]), known, n=1, cutoff=0.5)
        below = [name for name in known if path[-1] in _field_names(model, (*path[:-1], name))]
        if near:
            hint = f"did you mean {near[0]!r}?"
        elif len(below) == 1:
            hint = f"it belongs below {below[0]!r}; indent it"
        else:
            hint = f"known fields: {', '.join(known)}"
        return f"{problem(finding)}; {hint}"
    value = finding.get("input")
    if value is None and not path:
        return "the document is empty"
    if finding["type"] == "value_error" and isinstance(value, dict):
        return problem(finding)  # a rule between fields names them
    written = found.written(path) if found and not isinstance(value, str) else None
    return f"{problem(finding)} (got {_short(repr(value) if written is None else written or 'nothing')})"


def _field_names(model: type[BaseModel], path: tuple[Any, ...]) -> list[str]:
    """Return the field names, as written in documents, that are allowed at `path` below `model`."""
    current: list[type[BaseModel]] = [model]
    for part in path:
        if not isinstance(part, str):
            continue
        nested = [
            submodel
            for owner in current
            for name, info in owner.model_fields.items()
            if part in (name, info.alias)
            for submodel in _models_in(info.annotation)
        ]
        current = nested or current
    return sorted({info.alias or name for owner in current for name, info in owner.model_fields.items()})


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for argument in get_args(annotation) for model in _models_in(argument)]


def _short(value: str) -> str:
    text = _USER.sub("://…@", value)
    return text if len(text) <= 80 else text[:77] + "..."
