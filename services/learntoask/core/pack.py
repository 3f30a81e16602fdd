"""The domain pack: everything that is about one domain, as data (docs/method.md).

No domain constant lives in code; what a pack leaves out falls back to wording that holds for any domain.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from pydantic.alias_generators import to_camel

from learntoask.core.errors import InputError
from learntoask.core.input_checks import explain

DEFAULT_POLICY_PROMPT = """\
{{ goal }}
Needed: {{ fields | selectattr('required') | map(attribute='title') | join(', ') }}
{%- set optional = fields | rejectattr('required') | map(attribute='title') | join(', ') %}
{%- if optional %}
Optional: {{ optional }}
{%- endif %}
Ask for what is still missing.
{%- if may_stop %} {{ stopping }} Then answer {{ stop }}
{%- endif %}"""


DEFAULT_MICRO_GOAL_PROMPT = """\
You read logs of conversations in which a {{ roles.expert }} finds out from a {{ roles.user }} what is needed.
{%- if goal %} What this conversation is for: {{ goal }}
{%- endif %}
The fields of information:
{%- for field in fields %}
- {{ field.name }}
  {%- if field.description %}: {{ field.description }}{% endif %}
  {%- if field.values %} (possible values: {{ field.values | join(', ') }}){% endif %}
{%- endfor %}
Your task is to find what the {{ roles.expert }} asks for, and what the {{ roles.user }} then answers. A field is asked
for where the {{ roles.expert }} wants to know it, in whatever words and with or without a question mark; to repeat or
confirm what is known already is not asking. What the {{ roles.user }} tells unasked does not count."""

DEFAULT_MACRO_GOAL_PROMPT = """\
Find, too, where the {{ roles.expert }} acts: the message in which they stop asking for information and do what the
conversation is for, such as to recommend, to book, to look something up, or to hand over to somebody else. Nothing is
asked for any more from there on. Where the {{ roles.expert }} only goes on asking, or the {{ roles.user }} goes away
before, they never act."""

DEFAULT_JUDGE_PROMPT = """\
You judge questions that a {{ roles.expert }} puts to a {{ roles.user }}.
{%- if goal %} What their conversation is for: {{ goal }}
{%- endif %}
The fields of information:
{%- for field in fields %}
- {{ field.name }}
  {%- if field.description %}: {{ field.description }}{% endif %}
  {%- if field.values %} (possible values: {{ field.values | join(', ') }}){% endif %}
{%- endfor %}
You are told which fields are still needed. Find the fields that the question asks for, then give two marks.
content:
1 - everything it asks for is still needed;
0.5 - a part of what it asks for is still needed, or it comes very close to something that is;
0 - nothing that it asks for is still needed, or it asks for none of the fields.
format, by how many pieces of information it asks for, however many question marks it has:
1 - one;
0.5 - two;
0 - three or more, or none.
How polite or how long the question is does not matter, and neither does the order in which fields are listed."""


class PackModel(BaseModel):
    model_config = ConfigDict(
        alias_generator=to_camel,
        populate_by_name=True,
        extra="forbid",
        frozen=True,
        use_attribute_docstrings=True,
    )


Pattern = Annotated[str, Field(min_length=1, max_length=2000)]


class InformationField(PackModel):
    name: Annotated[str, Field(min_length=1, max_length=200)]
    """Identifier of the field, unique in its task; items are `name: value`."""
    description: str = ""
    """What the field holds, in one phrase; the grader and the prompts read it."""
    required: bool = True
    """Whether the task cannot be done without it (knowledge of the schema, not of an answer)."""
    patterns: tuple[Pattern, ...] = ()
    """Regular expressions (case-insensitive, searched) that recognise an expert asking for this field."""
    answer_patterns: tuple[Pattern, ...] = ()
    """Regular expressions that recognise the user giving it; group 1, or the whole match, is the value."""
    questions: tuple[str, ...] = ()
    """Example questions that ask for this field."""
    values: tuple[str, ...] = ()
    """Possible values, where they are few."""

    @property
    def title(self) -> str:
        """The name as people read it: `departure_date` → `departure date`."""
        return re.sub(r"[_\-]+", " ", self.name).strip()

    @field_validator("patterns", "answer_patterns")
    @classmethod
    def _compiles(cls, patterns: tuple[str, ...]) -> tuple[str, ...]:
        return _compiled(patterns)


class Task(PackModel):
    name: str
    """What a session's task key must say; `default` serves sessions that name none."""
    group: str = ""
    """Tasks of one group count as one when a report tells seen from unseen (default: the task's own name)."""
    goal: str = ""
    """What the conversation is for, in one sentence; a session's own goal overrides it."""
    fields: Annotated[tuple[InformationField, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _unique_fields(self) -> Task:
        names = [field.name for field in self.fields]
        twice = {name for name in names if names.count(name) > 1}
        if twice:
            raise ValueError(f"field names occur twice in task {self.name!r}: {sorted(twice)}")
        return self

    @cached_property
    def field_names(self) -> frozenset[str]:
        return frozenset(field.name for field in self.fields)


class Roles(PackModel):
    user: str = "user"
    """What the user is called in prompts and reports, e.g. `patient`."""
    expert: str = "expert"
    user_aliases: tuple[str, ...] = ("user", "customer", "client", "human")
    """Role words of the logs that mean the user."""
    expert_aliases: tuple[str, ...] = ("assistant", "agent", "expert", "operator")


class Fluency(PackModel):
    """Rules a question must pass; what fails them is graded 0 in content and format."""

    min_words: int = 2
    max_words: int = 80
    max_repeated_word_share: Annotated[float, Field(gt=0, le=1)] = 0.5
    """Largest share that one word may have among the words (garbled loops); applies from 6 words on."""
    forbidden: tuple[Pattern, ...] = ()
    """Patterns that never occur in a good question of this domain."""
    refusals: tuple[Pattern, ...] = (
        r"\bas an? (ai|language model)\b",
        r"\bi(?: am|'m)? (?:sorry|unable)\b",
        r"\bi (?:do not|don't|cannot|can't) (?:have|access|provide|book|make|help)\b",
    )
    """Patterns of sentences that are apologies or refusals, never questions."""
    questions: tuple[Pattern, ...] = ()
    """Patterns of sentences that ask without a question mark ("Please tell me the date"). None given: English
    cues where the pack's language is English, else only question marks count."""

    @field_validator("forbidden", "refusals", "questions")
    @classmethod
    def _compiles(cls, patterns: tuple[str, ...]) -> tuple[str, ...]:
        return _compiled(patterns)


class Prompts(PackModel):
    """Jinja templates (sandboxed)."""

    policy: str = DEFAULT_POLICY_PROMPT
    """System prompt of the policy. Variables: goal, fields (name, title, description, required, values),
    roles, stopping, stop (the stop string), may_stop, task."""
    micro_goal: str = DEFAULT_MICRO_GOAL_PROMPT
    """What labeller `llm` is told to find. Variables: goal, fields, roles, task, language. How to number messages and
    write the answer is added to it."""
    macro_goal: str = DEFAULT_MACRO_GOAL_PROMPT
    """How labeller `llm` knows the message in which the expert acts, where it is asked for that. The same variables."""

    judge: str = DEFAULT_JUDGE_PROMPT
    """What grader `llm` is told to mark, and how. Variables: goal, fields, roles, task, language. The conversation, the
    question, what is still needed and how to write the answer are added to it."""


class Pack(PackModel):
    name: str
    version: int = 1
    language: str = "en"
    roles: Roles = Roles()
    stopping: str = "When nothing needed is missing, stop asking."
    """What stopping means in this domain, as the prompt says it."""
    stop_at: Literal["acts", "asking_done"] = "acts"
    """`acts`: the stop is the turn where the expert acts. `asking_done`: the first turn with nothing left to
    ask becomes the session's one stop and the session ends there."""
    end_markers: tuple[str, ...] = ("<stop>", "<stop />")
    """Literal strings that mark the expert's action; removed from every context."""
    require_end_marker: bool = False
    """Whether a session without an end marker counts as abandoned even when the expert has the last word."""
    action_patterns: tuple[Pattern, ...] = ()
    """Patterns that recognise the expert acting, for logs without end markers."""
    handoff_patterns: tuple[Pattern, ...] = ()
    """Patterns of an expert message that hands the conversation over to somebody else."""
    exclusions: tuple[Pattern, ...] = ()
    """Sessions with a message that matches one of these are set aside and counted (test chats, spam)."""
    non_answers: tuple[Pattern, ...] = (
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
    """Patterns of user messages that answer nothing ("I don't know", "one moment"); labeller `lexicon` reads them."""
    task_from: tuple[str, ...] = ("task",)
    """Where a session names its task: dotted paths of keys, joined by `/` (e.g. annotations.service)."""
    tasks: Annotated[tuple[Task, ...], Field(min_length=1)]
    fluency: Fluency = Fluency()
    fallback: str = "Could you tell me a little more?"
    """What the server says when the model's answer is neither question nor stop, even after one repair."""
    unknown_reply: str = "I don't know."
    """What the replayed user says to a question that the log holds no answer to, in the language of the logs."""
    prompts: Prompts = Prompts()
    demo: tuple[str, ...] = ()
    """User messages of a short conversation that `lta run` holds with the finished policy."""
    demo_task: str | None = None
    """Task of the demo conversation (default: the one of sessions that name none)."""

    @field_validator("action_patterns", "handoff_patterns", "exclusions", "non_answers")
    @classmethod
    def _compiles(cls, patterns: tuple[str, ...]) -> tuple[str, ...]:
        return _compiled(patterns)

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
        """The task called `name`. Raises InputError naming the known tasks."""
        try:
            return self.task_by_name[name]
        except KeyError:
            known = ", ".join(sorted(self.task_by_name)[:8])
            raise InputError(f"task {name!r} is not in pack {self.name!r} (it has: {known})") from None

    def with_tasks(self, tasks: Iterable[Task]) -> Pack:
        """This pack with other tasks, which are taken as valid."""
        kept = {name: getattr(self, name) for name in Pack.model_fields}
        return Pack.model_construct(**{**kept, "tasks": tuple(tasks)})

    @property
    def default_task(self) -> str | None:
        """The task of sessions that name none: the only one, or the one called `default`."""
        if len(self.tasks) == 1:
            return self.tasks[0].name
        return "default" if "default" in self.task_by_name else None


def load_pack(path: Path) -> Pack:
    """Read a pack from YAML. Raises InputError with the file and the field at fault.

    A pack that may not be committed (its schema has a licence of its own) is made by a `make_pack.py` beside
    it; where there is one, the error says to run it.
    """
    try:
        return parse_pack(path.read_text(encoding="utf-8"), where=str(path))
    except FileNotFoundError as error:
        maker = path.with_name("make_pack.py")
        hint = f"make it: python {maker}" if maker.exists() else "check pack.uri in the manifest"
        raise InputError(f"domain pack {path} does not exist; {hint}") from error
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"domain pack {path} cannot be read: {error}") from error


def parse_pack(text: str, *, where: str) -> Pack:
    try:
        return Pack.model_validate(yaml.safe_load(text))
    except yaml.YAMLError as error:
        raise InputError(f"{where} is not valid YAML: {error}") from error
    except ValidationError as error:
        raise InputError(f"{where}: {explain(error, Pack)}") from error


def _compiled(patterns: tuple[str, ...]) -> tuple[str, ...]:
    for pattern in patterns:
        try:
            re.compile(pattern, re.IGNORECASE)
        except re.error as error:
            raise ValueError(f"pattern {pattern!r} is not a regular expression: {error}") from error
    return patterns
