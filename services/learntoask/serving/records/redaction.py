"""Redact texts before they are recorded: patterns first, then a function of the operator's own."""

from __future__ import annotations

import importlib
import logging
from collections.abc import Callable, Sequence

import regex

from learntoask.core.errors import InputError

Redact = Callable[[str], str]

LONGEST_SEARCH = 1.0  # seconds of processor time for one pattern in one text
_REDACTED = "[redacted]"
_LOG = logging.getLogger(__name__)


def compiled_patterns(patterns: Sequence[str]) -> list[regex.Pattern[str]]:
    """Return the compiled patterns. Raises ValueError with the one that is no regular expression."""
    compiled = []
    for pattern in patterns:
        try:
            compiled.append(regex.compile(pattern))
        except regex.error as error:
            raise ValueError(f"redact pattern {pattern!r} is not a regular expression: {error}") from error
    return compiled


def redaction(patterns: Sequence[str], hook: str | None) -> Redact:
    """Return a function that replaces the patterns, then applies the hook `package.module:function`.

    A text in which the search for a pattern takes longer than LONGEST_SEARCH is replaced as a whole, because what the
    pattern would have removed must not be recorded. Raises InputError if the hook cannot be imported.
    """
    compiled = compiled_patterns(patterns)
    function = _import_hook(hook) if hook else None

    def redact(text: str) -> str:
        for pattern in compiled:
            try:
                # Other threads go on during the search, because the event loop is one of them.
                text = pattern.sub(_REDACTED, text, timeout=LONGEST_SEARCH, concurrent=True)
            except TimeoutError:
                _LOG.warning(
                    "redact pattern is too slow, so a whole text was redacted; write it without a repetition "
                    "inside a repetition",
                    extra={"pattern": pattern.pattern, "characters": len(text)},
                )
                text = _REDACTED
        return function(text) if function else text

    return redact


def _import_hook(hook: str) -> Redact:
    module, _, name = hook.partition(":")
    try:
        function = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise InputError(
            f"redact_hook {hook!r} cannot be imported (package.module:function): {error}"
        ) from error
    if not callable(function):
        raise InputError(f"redact_hook {hook!r} is not a function")
    return function  # type: ignore[no-any-return]
