"""Validation of the documents that users write, and messages for the errors that pydantic finds in them."""

from __future__ import annotations

import difflib
import re
from typing import Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ValidationError

from learntoask.core.errors import InputError

Document = TypeVar("Document", bound=BaseModel)
_USER = re.compile(r"://[^\s'\"]*@")  # credentials in an address must not reach terminals and logs


def parse_document(text: str, model: type[Document], *, where: str) -> Document:
    """Validate a YAML document. Raises InputError; `where` names the source of the document in its message."""
    try:
        return model.model_validate(yaml.safe_load(text))
    except yaml.YAMLError as error:
        raise InputError(f"{where} is not valid YAML: {error}") from error
    except ValidationError as error:
        raise InputError(f"{where}: {explain(error, model)}") from error


def explain(error: ValidationError, model: type[BaseModel]) -> str:
    """Return one line for each error, `path: what is wrong`, with the field names as the user writes them.

    For an unknown field the line names the closest known one.
    """
    return "\n".join(_finding(finding, model) for finding in error.errors(include_url=False))


def _finding(finding: Any, model: type[BaseModel]) -> str:
    path = tuple(finding["loc"])
    where = ".".join(str(part) for part in path) or "document"
    if finding["type"] != "extra_forbidden":
        return f"{where}: {finding['msg']} (got {_short(finding.get('input'))})"
    known = _field_names(model, path[:-1])
    near = difflib.get_close_matches(str(path[-1]), known, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}?" if near else f"known fields: {', '.join(known)}"
    return f"{where}: unknown field; {hint}"


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
