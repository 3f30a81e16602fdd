"""The phrases that a pack uses: its own, or those of its language."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from learntoask.core.languages import english, latin, others
from learntoask.core.languages.phrases import Phrases
from learntoask.core.pack import Fluency, Pack

PHRASES: dict[str, Phrases] = {"en": english.ENGLISH, **latin.PHRASES, **others.PHRASES}
"""By ISO 639-1 code."""

# Nothing of another language looks like these, so they also serve a pack that does not name its language.
_OWN_SCRIPT = ("zh", "ja", "ko", "th", "hi", "bn")


@dataclass(frozen=True)
class PackPhrases:
    """The phrases that a pack uses, as regular expressions: its own, or those of its language."""

    questions: tuple[str, ...]
    refusals: tuple[str, ...]
    non_answers: tuple[str, ...]

    @classmethod
    def of(cls, pack: Pack) -> PackPhrases:
        found = [PHRASES[name] for name in _languages(pack) if name in PHRASES]
        rules = pack.fluency
        refusals, non_answers = rules.refusals, pack.non_answers
        if refusals == Fluency.model_fields["refusals"].default:
            refusals += _all(phrases.refusals for phrases in found)
        if non_answers == Pack.model_fields["non_answers"].default:
            non_answers += _all(phrases.non_answers for phrases in found)
        return cls(
            questions=rules.questions or _all(phrases.questions for phrases in found),
            refusals=refusals,
            non_answers=non_answers,
        )


def language_of(pack: Pack) -> str:
    """Return the pack's language without its region: `zh` for `zh-CN`."""
    return pack.language.lower().replace("_", "-").partition("-")[0]


def _languages(pack: Pack) -> Iterable[str]:
    return dict.fromkeys((language_of(pack), *_OWN_SCRIPT))


def _all(groups: Iterable[tuple[str, ...]]) -> tuple[str, ...]:
    return tuple(pattern for group in groups for pattern in group)
