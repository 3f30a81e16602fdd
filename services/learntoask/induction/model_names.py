"""Let a language model name and describe the fields that were found. It decides nothing else.

An answer counts only if it can be checked: a usable name that no other field has, and the ids of at least five
questions that it was shown for this field. Otherwise the field keeps the name of its words.
"""

from __future__ import annotations

import asyncio
import dataclasses
import re
from collections.abc import Callable, Sequence

from pydantic import Field

from learntoask.core.manifest import Budget, Endpoint
from learntoask.core.prompt import ChatMessage
from learntoask.induction.suggestion import SuggestedField, Suggestion
from learntoask.llm.client import LlmClient
from learntoask.llm.spending import Spending
from learntoask.llm.structured_output import Form, ModelReply

CITED = 5  # questions that a name must cite, or all if the field shows fewer
_NAME = re.compile(r"[^\W\d_][\w-]{0,59}")
_LONGEST_DESCRIPTION = 200
_TOKENS = 400
_INSTRUCTIONS = """\
Experts asked their users these questions. All of them ask for one piece of information. Name it as a field of a form:
one to three lower-case words joined by _ that say what is asked for, such as date_of_birth. Describe it in one phrase
in the language {language}. Cite the ids of at least {cited} of the questions that ask for exactly this."""


class FieldName(Form):
    """What a model says about a field."""

    name: str = Field(max_length=200)
    description: str = Field(max_length=1000)
    question_ids: list[str]


def name_by_model(
    found: Suggestion, *, address: str, model: str, say: Callable[[str], None] = lambda text: None
) -> Suggestion:
    """Return the suggestion with the names and descriptions of a model where they can be checked.

    Raises InputError for an invalid address, and StageError when the server answers no request.
    """
    endpoint = Endpoint(uri=address, model=model, retry_for="1m", concurrency=4)
    replies = asyncio.run(_ask(found, endpoint))
    names = {field.name for field in found.fields}
    renamed: dict[str, SuggestedField] = {}
    for field, reply in zip(found.fields, replies, strict=True):
        others = (names - {field.name}) | {other.name for other in renamed.values()}
        fault = fault_of(reply, field, others) if reply is not None else "no answer"
        if reply is None or fault:
            say(f"field {field.name} keeps its name: {fault}")
            continue
        renamed[field.name] = dataclasses.replace(
            field, name=reply.name, description=reply.description.strip(), named_by=model
        )
    return _with_fields(found, renamed)


def fault_of(reply: FieldName, field: SuggestedField, others: set[str]) -> str:
    """Return why an answer does not count; empty if it does."""
    shown = set(field.evidence.question_ids)
    cited = set(reply.question_ids)
    if not _NAME.fullmatch(reply.name):
        return f"{reply.name[:60]!r} is not a name of letters, digits and _"
    if reply.name in others:
        return f"another field is called {reply.name!r}"
    if not 0 < len(reply.description.strip()) <= _LONGEST_DESCRIPTION:
        return f"the description has {len(reply.description)} characters"
    if cited - shown:
        return f"the model cites questions that it was not shown: {', '.join(sorted(cited - shown)[:3])[:60]}"
    if len(cited) < min(CITED, len(shown)):
        return f"the model cites {len(cited)} questions instead of {min(CITED, len(shown))}"
    return ""


def prompt_for(field: SuggestedField, language: str) -> list[ChatMessage]:
    """Return the messages that ask for the name of a field."""
    lines = [
        f"{number}: {text}"
        for number, text in zip(field.evidence.question_ids, field.evidence.questions, strict=True)
    ]
    answers = [f"- {text}" for text, _ in field.evidence.answers]
    instructions = _INSTRUCTIONS.format(language=language, cited=min(CITED, len(lines)))
    return [
        {"role": "system", "content": instructions},
        {"role": "user", "content": "\n".join(("Questions:", *lines, "Answers:", *answers))},
    ]


async def _ask(found: Suggestion, endpoint: Endpoint) -> Sequence[FieldName | None]:
    client = LlmClient(endpoint, spending=Spending(Budget(), where="--llm"), where="--llm")
    try:
        return await asyncio.gather(*(_name(client, field, found.language) for field in found.fields))
    finally:
        await client.close()


async def _name(client: LlmClient, field: SuggestedField, language: str) -> FieldName | None:
    reply = await client.complete(prompt_for(field, language), form=FieldName, max_tokens=_TOKENS)
    return reply.parsed if isinstance(reply, ModelReply) else None


def _with_fields(found: Suggestion, renamed: dict[str, SuggestedField]) -> Suggestion:
    tasks = tuple(
        dataclasses.replace(
            task,
            fields=tuple(
                dataclasses.replace(use, field=named, description=named.description)
                if (named := renamed.get(use.field.name))
                else use
                for use in task.fields
            ),
        )
        for task in found.tasks
    )
    fields = tuple(renamed.get(field.name, field) for field in found.fields)
    questions = tuple(
        dataclasses.replace(question, field=renamed[question.field].name)
        if question.field in renamed
        else question
        for question in found.sorted_questions
    )
    return dataclasses.replace(found, fields=fields, tasks=tasks, sorted_questions=questions)
