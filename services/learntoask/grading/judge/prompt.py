"""The messages that a judge reads: the pack's rubric, the end of the conversation, the question, and what is needed.

The rubric comes first and is the same for all questions of a task, so that a server with a prefix cache computes it
once.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from learntoask.core.digest import digest_of
from learntoask.core.pack import InformationField, Pack
from learntoask.core.prompt import ChatMessage, instructions
from learntoask.core.text.characters import one_line
from learntoask.grading.grades import GradeCase

_WRITING = """\
Answer with one JSON object and nothing else:
"reason": one short sentence;
"asked": the names of the fields, as listed above, that the question asks for; none if it asks for none of them;
"content" and "format": the marks, "1", "0.5" or "0"."""


@dataclass(frozen=True)
class JudgePrompt:
    """The prompt of one pack, with the last `context_messages` messages. `reverse` lists the fields backwards."""

    pack: Pack
    context_messages: int
    reverse: bool = False

    @cached_property
    def digest(self) -> str:
        """The digest of everything that does not depend on the case."""
        pack = self.pack.model_dump(
            mode="json", by_alias=True, include={"tasks", "roles", "language", "fluency"}
        )
        return digest_of([pack, self.pack.prompts.judge, _WRITING, self.context_messages])

    def messages(self, case: GradeCase) -> list[ChatMessage]:
        """Return the messages about one case. Raises InputError when the pack's template is faulty."""
        task = self.pack.task(case.task)
        rubric = instructions(
            self.pack, "judge", task=task.name, goal=task.goal, fields=self._in_order(task.fields)
        )
        needed = [field.name for field in self._in_order(task.fields) if field.name in case.target]
        read = case.context[-self.context_messages :] if self.context_messages else ()
        names = {"user": self.pack.roles.user, "assistant": self.pack.roles.expert}
        said = [f"{names[message.role]}: {one_line(message.content)}" for message in read]
        parts = [
            "The conversation so far:",
            *(said or ["(not shown)"]),
            "",
            f"The question to judge: {one_line(case.response)}",
            f"Still needed: {', '.join(needed) or 'nothing'}",
        ]
        return [
            {"role": "system", "content": f"{rubric}\n\n{_WRITING}"},
            {"role": "user", "content": "\n".join(parts)},
        ]

    def _in_order(self, fields: Iterable[InformationField]) -> list[InformationField]:
        listed = list(fields)
        return listed[::-1] if self.reverse else listed
