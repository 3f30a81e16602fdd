"""Rendering of a pack's Jinja templates, in a sandbox. An undefined variable is an error."""

from __future__ import annotations

from functools import lru_cache

from jinja2 import StrictUndefined, Template, TemplateError, TemplateSyntaxError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from learntoask.core.errors import InputError

# An expression of a template raises what the same expression of Python raises.
_FAULTS = (TemplateError, TypeError, ValueError, ArithmeticError, LookupError, AttributeError)
_ENVIRONMENT = ImmutableSandboxedEnvironment(undefined=StrictUndefined, autoescape=False)


def render(source: str, *, where: str, **variables: object) -> str:
    """Render the template `source`. Raises InputError for an invalid one.

    `where` names the template in messages, such as `pack 'clinic', prompts.policy`.
    """
    try:
        return _template(source).render(**variables)
    except TemplateSyntaxError as error:
        raise InputError(f"{where}, line {error.lineno}: {error.message}") from error
    except _FAULTS as error:
        raise InputError(f"{where}: {error}") from error


@lru_cache(maxsize=256)
def _template(source: str) -> Template:
    return _ENVIRONMENT.from_string(source)
