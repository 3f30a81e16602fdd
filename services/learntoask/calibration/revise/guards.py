"""What a rewritten prompt must keep, so that it holds for questions that nobody has shown its writer."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from learntoask.core.errors import InputError
from learntoask.core.pack import Pack
from learntoask.core.prompt import check_prompts
from learntoask.core.text.words import words

_SHARED_WORDS = 5
_LONGEST = 1.5  # times the length of the prompt before
_TEMPLATE = re.compile(r"\{[{%].*?[%}]\}", re.DOTALL)


def faults_of(revised: str, before: str, shown: Iterable[str]) -> Iterator[str]:
    """Yield why a revised prompt is refused; nothing if it is acceptable.

    `shown` are the texts that its writer saw. A prompt that repeats five words of one of them in a row has learned the
    example instead of the rule, and its agreement would be measured too high wherever the example occurs again.
    """
    if len(revised) > _LONGEST * len(before):
        times = len(revised) / max(1, len(before))
        yield f"it is {times:.1f} times as long as before; at most {_LONGEST:g} times is allowed"
    if sorted(_TEMPLATE.findall(revised)) != sorted(_TEMPLATE.findall(before)):
        yield "it does not have the same template variables as before"
    repeated = _runs(revised) & {run for text in shown for run in _runs(text)} - _runs(before)
    if repeated:
        yield f"it repeats words of an example: {' '.join(min(repeated))!r}"


def renders(pack: Pack) -> bool:
    """Return whether all prompts of the pack are valid templates: a tag that was moved may be out of place."""
    try:
        check_prompts(pack)
    except InputError:
        return False
    return True


def _runs(text: str) -> set[tuple[str, ...]]:
    said = words(text)
    return {said[start : start + _SHARED_WORDS] for start in range(len(said) - _SHARED_WORDS + 1)}
