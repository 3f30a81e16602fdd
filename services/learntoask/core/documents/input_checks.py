"""Validation of the documents that users write, and messages for the errors that pydantic finds in them."""

from __future__ import annotations

import difflib
import re
from typing import Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from learntoask.core.documents.messages import path_of, problem, where_of
from learntoask.core.documents.yaml_loader import load_yaml
from learntoask.core.errors import InputError

Document = TypeVar("Document", bound=BaseModel)
_USER = re.compile(r"://[^\s'\"]*@")  # credentials in an address must not reach terminals and logs


def parse_document(text: str, model: type[Document], *, where: str) -> Document:
    """Validate a YAML document. Raises InputError; `where` names the source of the document in its message."""
    try:
        content = load_yaml(text)
    except yaml.YAMLError as error:
        raise InputError(f"{where} is not valid YAML: {error}") from error
    except RecursionError as error:
        raise InputError(f"{where} is not valid YAML: it is nested too deeply") from error
    return check_document(content, model, where=where)


def check_document(content: object, model: type[Document], *, where: str) -> Document:
    """Validate the content of a document, whose keys are camelCase. Raises InputError as `parse_document` does."""
    try:
        return model.model_validate(content, by_alias=True, by_name=False)
    except ValidationError as error:
        raise InputError(f"{where}: {explain(error, model)}") from error


def explain(error: ValidationError, model: type[BaseModel]) -> str:
    """Return one line for each error, `path: what is wrong`, with the field names as the user writes them.

    For an unknown field the line names the closest known one.
    """
    findings = error.errors(include_url=False)
    deepest = {path_of(finding)[:depth] for finding in findings for depth in range(len(path_of(finding)))}
    by_path: dict[str, list[str]] = {}
    for finding in findings:
        if finding["type"] == "too_short" and path_of(finding) in deepest:
            continue  # pydantic counts only the valid entries of a list, and a line about the invalid one is here
        problems = by_path.setdefault(where_of(finding), [])
        problems.append(_problem(finding, model))
    return "\n".join(
        f"{where}: {' or '.join(dict.fromkeys(problems))}" for where, problems in by_path.items()
    )


def _problem(finding: ErrorDetails, model: type[BaseModel]) -> str:
    if finding["type"] == "missing":
        return problem(finding)
    if finding["type"] != "extra_forbidden":
        value = finding.get("input")
        if value is None and not path_of(finding):
            return "the document is empty"
        if finding["type"] == "value_error" and isinstance(value, dict):
            return problem(finding)  # a rule between fields names them
        return f"{problem(finding)} (got {_short(value)})"
    path = path_of(finding)
    known = _field_names(model, path[:-1])
    near = difflib.get_close_matches(str(path[-1]), known, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}?" if near else f"known fields: {', '.join(known)}"
    return f"{problem(finding)}; {hint}"


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


def _short(value: object) -> str:
    text = _USER.sub("://…@", repr(value))
    return text if len(text) <= 80 else text[:77] + "..."
