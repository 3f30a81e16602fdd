"""Rendering of a pack's Jinja templates, in a sandbox. An undefined variable is an error."""

from __future__ import annotations

from functools import lru_cache

from jinja2 import StrictUndefined, Template, TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from learntoask.core.errors import InputError

_ENVIRONMENT = ImmutableSandboxedEnvironment(undefined=StrictUndefined, autoescape=False)


def render(source: str, *, where: str, **variables: object) -> str:
    """Render the template `source`. Raises InputError for an invalid one.

    `where` names the template in messages, such as `pack 'clinic', prompts.policy`.
    """
    try:
        return _template(source).render(**variables)
    except TemplateError as error:
        raise InputError(f"{where}: {error}") from error


@lru_cache(maxsize=256)
def _template(source: str) -> Template:
    return _ENVIRONMENT.from_string(source)
