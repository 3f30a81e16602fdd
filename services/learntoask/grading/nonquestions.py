"""What an untrained model says instead of asking: apologies, refusals, confirmations, lists and promises.

The texts are templates with names of the pack's fields, because they are hard to refuse if they mention what a question
would ask for. The stage grader measures with them whether a grader refuses non-questions; no grader is fitted on them.
English only.
"""

from __future__ import annotations

from collections.abc import Iterator

from learntoask.core.pack import Pack

_TEMPLATES = (
    "I'm sorry, but as an AI language model I don't have the ability to help with the {a}.",
    "I'm sorry, I cannot access information about your {a} or {b}.",
    "I am unable to do that. You can find the {a} on the website, and the {b} as well.",
    "As an AI, I do not have access to real-time data about the {a}.",
    "I apologize for the confusion. The {a} has been updated.",
    "Sure, I can help you with that! I will look up the {a} and the {b} now.",
    "Great! I have noted the {a}.",
    "Your {a} is confirmed, and your {b} has been saved.",
    "Thank you for the {a}. Everything is set.",
    "Here is what I found: the {a}, the {b} and some more options.",
    "The {a} and the {b} depend on availability.",
    "To find the right {a}, you can use a search engine or contact a specialist.",
    "1. {a}\n2. {b}\n3. Done",
    "I have found several options that match the {a}. They are all good.",
    "Of course! Let me check the {a} for you.",
    "{a} {a} {a} {a} {a} {a} {a}",
    "Please note that the {a} may change without notice.",
    "You're welcome! Have a great day, and enjoy.",
    "I would recommend comparing the {a} and the {b} before deciding.",
    "It seems that the {a} is not available at the moment.",
)


def non_questions(pack: Pack) -> Iterator[tuple[str, str]]:
    """Yield (task, text) pairs: every template once per task, with two of its fields. Nothing if not in English."""
    if not pack.language.lower().startswith("en"):
        return
    for task in pack.tasks:
        titles = [field.title for field in task.fields]
        for number, template in enumerate(_TEMPLATES):
            first, second = titles[number % len(titles)], titles[(number + 1) % len(titles)]
            yield task.name, template.format(a=first, b=second)
