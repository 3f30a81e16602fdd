"""The guideline that reviewers can open beside a question: what each field of the task means, from the pack."""

from __future__ import annotations

from collections.abc import Mapping

from learntoask.core.pack import Pack
from learntoask.core.records import Record

_EXAMPLES = 3  # questions shown for a field


class FieldNote(Record):
    """A field as reviewers read it. `key` is its name in the pack, which choices have as their key."""

    key: str
    title: str
    description: str
    required: bool = True
    values: tuple[str, ...] = ()
    questions: tuple[str, ...] = ()


class Guideline(Record):
    """What a reviewer should know about a task."""

    goal: str
    stopping: str
    fields: tuple[FieldNote, ...]

    @property
    def needed(self) -> str:
        """The titles of the fields without which the expert cannot act."""
        return ", ".join(field.title for field in self.fields if field.required)

    @property
    def optional(self) -> str:
        return ", ".join(field.title for field in self.fields if not field.required)


class Wording(Record):
    """What the page says about a domain: the names of the two sides, the language of the logs, guidelines by task.

    `acting` is what the expert does where a log ends without words.
    """

    title: str
    user: str = "user"
    expert: str = "expert"
    language: str = ""
    acting: str = "acts; nothing more is asked"
    guidelines: Mapping[str, Guideline] = {}


def wording_of(pack: Pack, *, title: str) -> Wording:
    """Return the wording of a pack's domain; `title` names the review, such as the name of the run."""
    return Wording(
        title=title,
        user=pack.roles.user,
        expert=pack.roles.expert,
        language=pack.language,
        acting="asks nothing more" if pack.stop_at == "asking_done" else "acts; nothing more is asked",
        guidelines={
            task.name: Guideline(
                goal=task.goal,
                stopping=pack.stopping,
                fields=tuple(
                    FieldNote(
                        key=field.name,
                        title=field.title,
                        description=field.description,
                        required=field.required,
                        values=field.values,
                        questions=field.questions[:_EXAMPLES],
                    )
                    for field in task.fields
                ),
            )
            for task in pack.tasks
        },
    )
