"""Whom a session is about, and the truth about them: what an honest user would answer, field by field."""

from __future__ import annotations

import random
from dataclasses import dataclass
from types import ModuleType

Wording = ModuleType
"""`wording` or one of its translations, which have the same names."""


@dataclass(frozen=True)
class Person:
    noun: str  # "" for the user themselves
    age: str
    subject: str  # he, she
    can_be_pregnant: bool

    def expert_words(self) -> dict[str, str]:
        if self.noun:
            your = "his" if self.subject == "he" else "her"
            words = {
                "you": self.subject,
                "your": your,
                "are": "is",
                "were": "was",
                "have": "has",
                "do": "does",
            }
            words |= {"take": "takes", "them": "him" if self.subject == "he" else "her"}
        else:
            words = {word: word for word in ("you", "your", "are", "were", "have", "do", "take")}
            words["them"] = "you"
        return words | {word.capitalize(): text.capitalize() for word, text in words.items()}

    def user_words(self) -> dict[str, str]:
        if not self.noun:
            return {"I": "I", "Im": "I'm", "Ive": "I've", "me": "me", "noun": ""}
        who = self.subject
        return {"I": who, "Im": f"{who}'s", "Ive": f"{who}'s", "me": f"my {self.noun}", "noun": self.noun}


@dataclass(frozen=True)
class Fact:
    """The truth about one field: its value, how the user answers a question for it, how they volunteer it."""

    value: str
    replies: tuple[str, ...]
    volunteered: tuple[str, ...] = ()


def person(rng: random.Random, w: Wording) -> Person:
    if rng.random() < 0.65:
        female = rng.random() < 0.55
        age = rng.randint(19, 78)
        return Person("", str(age), "she" if female else "he", can_be_pregnant=female and age < 46)
    noun, subject, low, high = rng.choice(w.RELATIVES)
    age = rng.randint(low, high)
    return Person(noun, str(age), subject, can_be_pregnant=noun == w.WIFE and age < 46)


def facts(rng: random.Random, who: Person, w: Wording) -> dict[str, Fact]:
    if rng.random() < 0.7:
        duration = Fact(rng.choice(w.DURATIONS), w.DURATION_REPLIES, w.VOLUNTEERED["duration"])
    else:
        duration = Fact(rng.choice(w.SINCE), w.SINCE_REPLIES, w.VOLUNTEERED["since"])
    truth = {
        "symptom": Fact(rng.choice(w.COMPLAINTS), w.SYMPTOM_REPLIES),
        "duration": duration,
        "age": Fact(who.age, w.AGE_REPLIES, w.VOLUNTEERED["age"]),
        "pregnancy": _pregnancy(rng, who, w),
    }
    for name, (values, share) in w.VALUES.items():
        if rng.random() < share:
            truth[name] = Fact(rng.choice(values), w.POSITIVE[name], w.VOLUNTEERED[name])
        else:
            truth[name] = Fact("none", w.NEGATIVE[name])
    return truth


def _pregnancy(rng: random.Random, who: Person, w: Wording) -> Fact:
    if who.can_be_pregnant and rng.random() < 0.25:
        value = rng.choice(w.PREGNANCIES)
        return Fact(value, w.POSITIVE["pregnancy"], w.VOLUNTEERED["pregnancy"])
    if who.subject == "he" and not who.noun:
        return Fact("not applicable", w.NOT_APPLICABLE)
    return Fact("no", w.NEGATIVE["pregnancy"])
