"""The domain pack: all knowledge about one domain, as data (docs/packs.md).

The code contains no constants of a domain. The defaults are worded so that they hold for any domain.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from learntoask.core.default_prompts import (
    DEFAULT_JUDGE_PROMPT,
    DEFAULT_MACRO_GOAL_PROMPT,
    DEFAULT_MICRO_GOAL_PROMPT,
    DEFAULT_POLICY_PROMPT,
)
from learntoask.core.documents.input_checks import parse_document
from learntoask.core.documents.text_file import read_document
from learntoask.core.errors import InputError
from learntoask.core.manifest.model import ManifestModel, Pattern, SelectivePattern


class PackModel(ManifestModel):
    """A part of a domain pack."""


class InformationField(PackModel):
    """A piece of information that an expert asks for, such as the departure date of a flight."""

    name: Annotated[str, Field(min_length=1, max_length=200)]
    """Identifier of the field, unique in its task; an information item is `name: value`."""
    description: str = ""
    """Meaning of the field, in one phrase. The grader and the prompts read it."""
    required: bool = True
    """Whether the task cannot be completed without a value of this field."""
    patterns: tuple[SelectivePattern, ...] = ()
    """Regular expressions (searched, ignoring case) that match an expert's message that asks for this field."""
    answer_patterns: tuple[Pattern, ...] = ()
    """Regular expressions that match a user's message that gives a value; the value is group 1, or the whole match."""
    questions: tuple[str, ...] = ()
    """Example questions that ask for this field."""
    values: tuple[str, ...] = ()
    """Possible values, if they are few."""

    @property
    def title(self) -> str:
        """The name with spaces, as people read it: `departure_date` becomes `departure date`."""
        return re.sub(r"[_\-]+", " ", self.name).strip()


class Task(PackModel):
    """A kind of conversation, with the fields that an expert asks for in it."""

    name: str
    """Name of the task in the logs (see `taskFrom`). Sessions that name no task belong to the only task of
    the pack, or to the task `default`."""
    group: str = ""
    """Group of the task (default: its name). A report counts a task as seen if training saw any task of its group."""
    goal: str = ""
    """Purpose of the conversation, in one sentence; the goal of a session overrides it."""
    fields: Annotated[tuple[InformationField, ...], Field(min_length=1)]
    """Fields of information that an expert asks for."""

    @model_validator(mode="after")
    def _unique_fields(self) -> Task:
        names = [field.name for field in self.fields]
        twice = {name for name in names if names.count(name) > 1}
        if twice:
            raise ValueError(f"field names occur twice in task {self.name!r}: {sorted(twice)}")
        return self

    @property
    def group_name(self) -> str:
        """The group that the task counts under when seen and unseen tasks are told apart."""
        return self.group or self.name

    @cached_property
    def field_names(self) -> frozenset[str]:
        return frozenset(field.name for field in self.fields)


class Roles(PackModel):
    """Names of the two sides of a conversation."""

    user: str = "user"
    """Name of the user in prompts and reports, such as `patient`."""
    expert: str = "expert"
    """Name of the expert in prompts and reports, such as `pharmacist`."""
    user_aliases: tuple[str, ...] = ("user", "customer", "client", "human")
    """Values of `role` in the logs that mean the user."""
    expert_aliases: tuple[str, ...] = ("assistant", "agent", "expert", "operator")
    """Values of `role` in the logs that mean the expert."""

    @model_validator(mode="after")
    def _different_sides(self) -> Roles:
        both = {folded_role(name) for name in self.user_aliases} & {
            folded_role(name) for name in self.expert_aliases
        }
        if folded_role(self.user) == folded_role(self.expert):
            raise ValueError(f"user and expert are both {self.user!r}; give each side another name")
        if both:
            raise ValueError(
                f"userAliases and expertAliases both have {', '.join(sorted(both))}; name each side once"
            )
        return self


def folded_role(role: str) -> str:
    """Return a role name of logs in the form in which names are compared."""
    return role.strip().lower()


class Fluency(PackModel):
    """Rules that a question must meet. A question that breaks one gets the grade 0 for content and format."""

    min_words: Annotated[int, Field(ge=0, le=100_000)] = 2
    """Smallest number of words. Scripts without spaces are divided into words by a dictionary. Here each Chinese
    character and every second Korean syllable count as a word."""
    max_words: Annotated[int, Field(ge=1, le=100_000)] = 80
    """Largest number of words."""
    max_repeated_word_share: Annotated[float, Field(gt=0, le=1)] = 0.5
    """Largest share of the words that may be the same word. It detects garbled repetition and applies to questions of 6
    or more words."""
    forbidden: tuple[SelectivePattern, ...] = ()
    """Regular expressions that match no good question of this domain."""
    refusals: tuple[SelectivePattern, ...] = (
        r"\bas an? (ai|language model)\b",
        r"\bi(?: am|'m)? (?:sorry|unable)\b",
        r"\bi (?:do not|don't|cannot|can't) (?:have|access|provide|book|make|help)\b",
    )
    """Regular expressions that match apologies and refusals, which are never questions. If left out, those of
    `language` are recognised too."""
    questions: tuple[SelectivePattern, ...] = ()
    """Regular expressions that match sentences that ask without a question mark ("Please tell me the date"). If left
    out, the phrases of `language` are used. A run learns further ones from the labels (docs/grading.md)."""

    @model_validator(mode="after")
    def _some_length_passes(self) -> Fluency:
        if self.min_words > self.max_words:
            raise ValueError(
                f"minWords ({self.min_words}) is greater than maxWords ({self.max_words}), so no question passes"
            )
        return self


class Prompts(PackModel):
    """Prompts as Jinja templates, rendered in a sandbox."""

    policy: str = DEFAULT_POLICY_PROMPT
    """System prompt of the policy. Variables: goal, fields (name, title, description, required, values),
    roles, stopping, stop (the stop string), may_stop, task."""
    micro_goal: str = DEFAULT_MICRO_GOAL_PROMPT
    """Instructions for the labeller `llm`: which items it has to find. Variables: goal, fields, roles, task, language.
    The program appends the numbering of the messages and the format of the answer."""
    macro_goal: str = DEFAULT_MACRO_GOAL_PROMPT
    """Instructions for the labeller `llm` to find the message in which the expert acts. Variables as in `microGoal`."""

    judge: str = DEFAULT_JUDGE_PROMPT
    """Instructions for the grader `llm`: what it has to grade, and how. Variables: goal, fields, roles, task, language.
    The program appends the conversation, the question, the items still needed and the format of the answer."""


class Pack(PackModel):
    """All knowledge about one domain."""

    name: str
    """Name of the pack in messages and reports."""
    version: Annotated[int, Field(ge=0, le=2**53)] = 1
    """Version of the pack, for its author."""
    language: str = "en"
    """Language of the logs, as an ISO 639-1 code. Its phrases for requests without a question mark, refusals and
    non-answers are used where the pack gives none (docs/packs.md lists the languages)."""
    roles: Roles = Roles()
    stopping: str = "When nothing needed is missing, stop asking."
    """Condition for stopping in this domain, as the policy's prompt states it."""
    stop_at: Literal["acts", "asking_done"] = "acts"
    """Turn that is labelled as the stop. `acts`: the turn in which the expert acts. `asking_done`: the first turn at
    which nothing is left to ask; the session ends there."""
    end_markers: tuple[Annotated[str, Field(min_length=1)], ...] = ("<stop>", "<stop />")
    """Literal strings in expert messages that mark the expert's action. They are removed from the messages."""
    require_end_marker: bool = False
    """Whether a session without an end marker counts as abandoned even if its last message is the expert's."""
    action_patterns: tuple[SelectivePattern, ...] = ()
    """Regular expressions that match an expert message in which the expert acts, for logs without end markers."""
    handoff_patterns: tuple[SelectivePattern, ...] = ()
    """Regular expressions that match an expert message that hands the conversation over to another person."""
    exclusions: tuple[SelectivePattern, ...] = ()
    """Regular expressions. A session with a message that matches one (a test chat, spam) is left out and counted."""
    non_answers: tuple[SelectivePattern, ...] = (
        r"^\W*(?:(?:sorry|hm+|uh+|well|honestly|oh)\W+)*(?:i\s+)?(?:(?:really|honestly|just)\s+)?"
        r"(?:do\s*n['’]?o?t|ca\s*n['’]?(?:no)?t|couldn['’]?t|could\s+not)\s+(?:really\s+)?"
        r"(?:know|remember|recall|say|tell)\b\D{0,30}$",
        r"^\W*(?:(?:sorry|hm+|uh+|well|honestly|oh|i\s+have|i['’]?m)\W+)*(?:dunno|no\s+(?:idea|clue)"
        r"|not\s+(?:really\s+)?sure)\b\D{0,30}$",
        r"^\W*(?:i['’]d|i\s+would)\s+(?:rather|prefer)\s+not\b\D{0,40}$",
        r"^\W*why\s+do\s+you\b",
        r"^\W*(?:let\s+me\s+(?:check|see|look)|i(?:['’]d|\s+would)?\s+have\s+to\s+(?:check|look)|hold\s+on"
        r"|(?:\w+\W+){0,4}(?:one|just\s+a)\s+(?:moment|second|sec|minute))\b\D{0,30}$",
        r"^\W*(?:btw|by\s+the\s+way)\b",
        r"^\W*(?:hm+|uh+|ok(?:ay)?|thanks?(?:\s+you)?|what)?\W*$",
    )
    """Regular expressions that match user messages without an answer ("I don't know", "one moment"), for the labeller
    `lexicon`. If left out, phrases of English and of `language` are used."""
    task_from: tuple[str, ...] = ("task",)
    """Keys of a session that name its task, as dotted paths (such as `annotations.service`); the values at several
    paths are joined by `/`."""
    tasks: Annotated[tuple[Task, ...], Field(min_length=1)]
    """Tasks of this domain."""
    fluency: Fluency = Fluency()
    fallback: str = "Could you tell me a little more?"
    """Question that the server asks when the policy's answer is neither a question nor a stop, even after a repair."""
    unknown_reply: str = "I don't know."
    """Reply of the user in session replay to a question without an answer in the log, in the language of the logs."""
    prompts: Prompts = Prompts()
    demo: tuple[str, ...] = ()
    """User messages of a short conversation that `lta run` holds with the finished policy."""
    demo_task: str | None = None
    """Task of the demo conversation (default: the task of sessions that name none)."""

    @model_validator(mode="after")
    def _tasks_can_be_told_apart(self) -> Pack:
        names = [task.name for task in self.tasks]
        twice = {name for name in names if names.count(name) > 1}
        if twice:
            raise ValueError(f"task names occur twice: {sorted(twice)}")
        if self.demo_task is not None and self.demo_task not in names:
            near = difflib.get_close_matches(self.demo_task, names, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"it has: {', '.join(sorted(names)[:8])}"
            raise ValueError(f"demoTask {self.demo_task!r} is not a task of this pack; {hint}")
        if self.demo and self.demo_task is None and self.default_task is None:
            raise ValueError(
                "demo needs demoTask, since the pack has several tasks and none called 'default'"
            )
        return self

    @cached_property
    def task_by_name(self) -> dict[str, Task]:
        return {task.name: task for task in self.tasks}

    def task(self, name: str) -> Task:
        """Return the task called `name`. Raises InputError with the known tasks."""
        try:
            return self.task_by_name[name]
        except KeyError:
            known = ", ".join(sorted(self.task_by_name)[:8])
            raise InputError(f"task {name!r} is not in pack {self.name!r} (it has: {known})") from None

    def with_tasks(self, tasks: Iterable[Task]) -> Pack:
        """Return a copy of this pack with other tasks, which are not validated."""
        kept = {name: getattr(self, name) for name in Pack.model_fields}
        return Pack.model_construct(**{**kept, "tasks": tuple(tasks)})

    @property
    def default_task(self) -> str | None:
        """The task of sessions that name none: the only one, or the one called `default`."""
        if len(self.tasks) == 1:
            return self.tasks[0].name
        return "default" if "default" in self.task_by_name else None


def load_pack(path: Path) -> Pack:
    """Read a pack from a YAML file. Raises InputError with the file and the wrong field.

    A pack whose source has a restrictive licence is not in the repository; a script `make_pack.py` in the same folder
    creates it. If there is such a script, the error for a missing pack says to run it.
    """
    if not path.exists():
        maker = path.with_name("make_pack.py")
        hint = f"make it: python {maker}" if maker.exists() else "check pack.uri in the manifest"
        raise InputError(f"domain pack {path} does not exist; {hint}")
    return parse_pack(read_document(path, what="domain pack"), where=str(path))


def parse_pack(text: str, *, where: str) -> Pack:
    """Validate a pack given as YAML; `where` names its source in messages. Raises InputError."""
    return parse_document(text, Pack, where=where)
