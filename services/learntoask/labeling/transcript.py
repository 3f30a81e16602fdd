"""What a model reads: the pack's definitions, the whole session with numbered messages, and the question.

The parts come in the order of how many requests share them (task, session, turn), so that a server with a prefix cache
reads a session once for all its turns.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from learntoask.core.digest import digest_of
from learntoask.core.pack import Pack
from learntoask.core.prompt import ChatMessage
from learntoask.core.records import Session, Turn
from learntoask.core.templates import render

_WRITING = """\
The messages of the conversation are numbered. Answer with one JSON object and nothing else.
"items": one entry for each time that the {expert} asks for a field:
  "field": the name of the field as listed above;
  "asked": the number of the message in which the {expert} asks for it;
  "quote": the words of a later message of the {user} that give it, copied exactly, in their language; null where the \
{user} never gives it;
  "value": the part of these words that is the value, or the possible value it means; null where the {user} never \
gives it."""
_WRITING_ACT = """
"act": where the {expert} acts: "message" is the number of the message, "quote" are its words that do, copied exactly; \
null where they do not."""


@dataclass(frozen=True)
class Prompting:
    """The prompts of one pack. `acts`: whether the model is asked where the expert acts."""

    pack: Pack
    acts: bool

    @cached_property
    def digest(self) -> str:
        """Of everything that is not the session's own: for the provenance of labels."""
        prompts = self.pack.prompts
        parts = [prompts.micro_goal, _WRITING]
        return digest_of([*parts, prompts.macro_goal, _WRITING_ACT] if self.acts else [*parts])[:16]

    def for_turn(self, session: Session, turn: Turn) -> list[ChatMessage]:
        """The question for one decision point: what is asked and given from `turn` on."""
        question = (
            f"Look only at messages {turn.start} to {len(session.messages) - 1}: list every field that the "
        )
        question += f"{self.pack.roles.expert} asks for there."
        if self.acts:
            last = turn.end - 1
            where = f"message {turn.start}" if last == turn.start else f"messages {turn.start} to {last}"
            question += f' "act" is about {where} only.'
        return self._messages(session, question)

    def for_session(self, session: Session) -> list[ChatMessage]:
        """The question for all decision points at once."""
        first = session.turns[0].start
        question = f"Look at messages {first} to {len(session.messages) - 1}: list every field that the "
        return self._messages(session, question + f"{self.pack.roles.expert} asks for there.")

    def _messages(self, session: Session, question: str) -> list[ChatMessage]:
        conversation = self._numbered(session)
        return [
            {"role": "system", "content": self._instructions(session)},
            {"role": "user", "content": f"{conversation}\n\n{question}"},
        ]

    def _instructions(self, session: Session) -> str:
        roles = self.pack.roles
        parts = [self._render("microGoal", self.pack.prompts.micro_goal, session)]
        if self.acts:
            parts.append(self._render("macroGoal", self.pack.prompts.macro_goal, session))
        writing = _WRITING + (_WRITING_ACT if self.acts else "")
        return "\n\n".join([*parts, writing.format(expert=roles.expert, user=roles.user)])

    def _render(self, name: str, source: str, session: Session) -> str:
        task = self.pack.task(session.task)
        return render(
            source,
            where=f"pack {self.pack.name!r}, prompts.{name}",
            goal=session.goal or task.goal,
            fields=list(task.fields),
            roles=self.pack.roles,
            task=task.name,
            language=self.pack.language,
        )

    def _numbered(self, session: Session) -> str:
        """One line a message: a line break within one could fake the next."""
        names = {"user": self.pack.roles.user, "expert": self.pack.roles.expert}
        names["policy"] = f"{self.pack.roles.expert} (a program)"
        return "\n".join(
            f"[{index}] {names[message.author]}: {' '.join(message.content.split()) or '(no words)'}"
            for index, message in enumerate(session.messages)
        )
