"""The messages that a model reads: the pack's definitions, the session with numbered messages, and the question.

The parts that most requests share come first (task, then session, then turn), so that a server with a prefix cache
computes a session once for all its turns.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, lru_cache

from learntoask.core.digest import digest_of
from learntoask.core.pack import Pack
from learntoask.core.prompt import ChatMessage, instructions
from learntoask.core.records import Session, Turn

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
class LabelPrompts:
    """The prompts of one pack. With `acts` they also ask in which message the expert acts."""

    pack: Pack
    acts: bool

    @cached_property
    def digest(self) -> str:
        """The digest of everything that does not depend on the session, for the provenance of labels."""
        prompts = self.pack.prompts
        parts = [prompts.micro_goal, _WRITING]
        return digest_of([*parts, prompts.macro_goal, _WRITING_ACT] if self.acts else [*parts])[:16]

    def session_prompts(self, session: Session) -> SessionPrompts:
        """Return the prompts of one session. Raises InputError when a template of the pack is faulty."""
        goal = session.goal or self.pack.task(session.task).goal
        return SessionPrompts(self, session, self._instructions(session.task, goal))

    @cached_property
    def _instructions(self) -> Callable[[str, str], str]:
        """The function from task and goal to the instructions, with a cache for the sessions that share both."""
        return lru_cache(maxsize=256)(self._render)

    def _render(self, task: str, goal: str) -> str:
        pack, roles = self.pack, self.pack.roles
        fields = pack.task(task).fields
        parts = [instructions(pack, "micro_goal", task=task, goal=goal, fields=fields)]
        if self.acts:
            parts.append(instructions(pack, "macro_goal", task=task, goal=goal, fields=fields))
        writing = _WRITING + (_WRITING_ACT if self.acts else "")
        return "\n\n".join([*parts, writing.format(expert=roles.expert, user=roles.user)])


@dataclass(frozen=True)
class SessionPrompts:
    """The prompts of one session. They differ only in their last line."""

    prompts: LabelPrompts
    session: Session
    instructions: str

    def for_turn(self, turn: Turn) -> list[ChatMessage]:
        """Ask about one decision point: what is asked and given from `turn` on."""
        question = f"Look only at messages {turn.start} to {len(self.session.messages) - 1}: {self._task}"
        if self.prompts.acts:
            last = turn.end - 1
            where = f"message {turn.start}" if last == turn.start else f"messages {turn.start} to {last}"
            question += f' "act" is about {where} only.'
        return self._with(question)

    def for_session(self) -> list[ChatMessage]:
        """Ask about all decision points at once."""
        first, last = self.session.turns[0].start, len(self.session.messages) - 1
        return self._with(f"Look at messages {first} to {last}: {self._task}")

    @property
    def _task(self) -> str:
        return f"list every field that the {self.prompts.pack.roles.expert} asks for there."

    def _with(self, question: str) -> list[ChatMessage]:
        return [
            {"role": "system", "content": self.instructions},
            {"role": "user", "content": f"{self._conversation}\n\n{question}"},
        ]

    @cached_property
    def _conversation(self) -> str:
        """The messages, one per line. Line breaks within a message become spaces, so that it cannot imitate another."""
        roles = self.prompts.pack.roles
        names = {"user": roles.user, "expert": roles.expert, "policy": f"{roles.expert} (a program)"}
        return "\n".join(
            f"[{index}] {names[message.author]}: {' '.join(message.content.split()) or '(no words)'}"
            for index, message in enumerate(self.session.messages)
        )
