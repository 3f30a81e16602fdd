"""One conversation: an expert works through the fields they want; the user answers, strays, forgets, or leaves."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any

from synthetic.people import Fact, Person, Wording, facts, person
from synthetic.wording import Expert

MARKER = "<med_search>"

HANDED_OVER = 0.11  # share of the sessions that an expert passes on
WALKED_AWAY = 0.05  # share where the user leaves once all is asked; others leave earlier
LEAVES = 0.022  # chance that the user leaves after a turn
STRAYS = 0.06  # chance of an off-topic message in place of an answer
OVERLOOKS = 0.25  # chance that the second of two questions goes unanswered
KNOWS_NOT = 0.07
VOLUNTEERS = 0.1
CHATS = 0.02  # chance that an expert turn is about something else altogether


@dataclass
class Chat:
    """A conversation in the making, with what really happened in it written down beside it."""

    rng: random.Random
    typo: float  # chance of a typo in an expert's message
    messages: list[dict[str, str]] = field(default_factory=list)
    turns: list[dict[str, Any]] = field(default_factory=list)  # start, end, requested
    answers: list[dict[str, Any]] = field(default_factory=list)  # field, value, message

    def user(self, text: str, gives: dict[str, str] | None = None) -> None:
        self.messages.append({"role": "user", "content": text})
        for name, value in (gives or {}).items():
            self.answers.append({"field": name, "value": value, "message": len(self.messages) - 1})

    def expert(self, *texts: str, requested: tuple[str, ...] = ()) -> None:
        """One expert turn, a burst of messages. A greeting before the user's first word is no decision point."""
        start = len(self.messages)
        for text in texts:
            content = typing_error(self.rng, text) if self.rng.random() < self.typo else text
            self.messages.append({"role": "assistant", "content": content})
        if start:
            self.turns.append({"start": start, "end": len(self.messages), "requested": list(requested)})


@dataclass
class Conversation:
    w: Wording
    rng: random.Random
    expert: Expert
    who: Person
    truth: dict[str, Fact]
    chat: Chat
    lower: bool  # users who never touch the shift key
    known: set[str] = field(default_factory=set)
    asked: set[str] = field(default_factory=set)
    retry: set[str] = field(default_factory=set)  # asked in vain, to be asked once more

    def wanted(self) -> list[str]:
        """Fields to ask for in this expert's order, two of them swapped now and then."""
        optional = {name for name in self.w.OPTIONAL if self.rng.random() < self.expert.thorough}
        if not (self.who.can_be_pregnant or (not self.who.noun and int(self.who.age) < 50)):
            optional.discard("pregnancy")
        order = [name for name in self.expert.order if name in self.w.REQUIRED or name in optional]
        if self.rng.random() < 0.35:
            at = self.rng.randrange(len(order) - 1)
            order[at], order[at + 1] = order[at + 1], order[at]
        return order

    def open(self) -> None:
        if self.rng.random() < 0.15:
            self.chat.expert(self.rng.choice(self.w.GREETINGS))
        if not self.who.noun and self.rng.random() < 0.35:
            self._say(self.rng.choice(self.w.OPENERS_VAGUE))
            return
        self._say(
            self.rng.choice(self.w.OPENERS_OTHER if self.who.noun else self.w.OPENERS_FULL), gives="symptom"
        )
        for name in self._unsaid():
            if self.rng.random() < VOLUNTEERS:
                self._volunteer(name)

    def next_fields(self, wanted: list[str], *, hasty: bool) -> tuple[str, ...]:
        """What the expert asks now; nothing when they have, or think they have, all they want."""
        todo = [name for name in wanted if name not in self.known and name not in self.asked - self.retry]
        if not todo or (hasty and len(todo) == 1):
            return ()
        if self.known and self.rng.random() < self.expert.redundant:
            todo.insert(0, self.rng.choice(sorted(self.known)))
        return tuple(todo[: 2 if self.rng.random() < self.expert.double else 1])

    def ask(self, names: tuple[str, ...]) -> bool:
        """One exchange about `names`. False when the user leaves afterwards."""
        self.chat.expert(*self._phrase(names), requested=names)
        if self.rng.random() < STRAYS:
            stray, remark = self.rng.choice(self.w.OFF_TOPIC)
            self._say(stray)
            names = names[:1]
            self.chat.expert(*self._burst([remark, self._question(names[0])]), requested=names)
        self._answer(names)
        in_vain = {name for name in names if name not in self.known and name not in self.asked}
        self.retry = {name for name in in_vain if self.rng.random() < 0.5}
        self.asked |= set(names)
        if self.rng.random() < VOLUNTEERS and (unsaid := self._unsaid()):
            self._volunteer(self.rng.choice(unsaid))
        return self.rng.random() > LEAVES

    def chatter(self) -> None:
        """A turn that asks for nothing the task needs."""
        filler, reply = self.rng.choice(self.w.FILLERS)
        self.chat.expert(filler)
        self._say(reply)

    def act(self) -> None:
        """The stop: marker after a word, as a message of its own, or without any word."""
        action, roll = self.rng.choice(self.w.ACTIONS), self.rng.random()
        texts = [f"{action} {MARKER}"] if roll < 0.55 else [action, MARKER] if roll < 0.85 else [MARKER]
        shown = self.rng.random() < 0.6
        if shown:
            texts.append(self.rng.choice(self.w.RESULTS))
        self.chat.typo = 0.0  # a mistyped marker would not be one
        self.chat.expert(*texts)
        if shown and self.rng.random() < 0.5:
            self._say(self.rng.choice(self.w.THANKS))
            if self.rng.random() < 0.5:
                self.chat.messages.append({"role": "assistant", "content": self.rng.choice(self.w.WELCOME)})

    def hand_over(self) -> None:
        self.chat.expert(self.rng.choice(self.w.HANDOFFS))
        if self.rng.random() < 0.4:
            self._say("ok")

    def leave(self) -> None:
        roll = self.rng.random()
        if roll < 0.5:
            self._say(self.rng.choice(self.w.LEAVING))
        elif roll < 0.75:
            self.chat.expert(self.w.STILL_THERE)

    def _answer(self, names: tuple[str, ...]) -> None:
        replies: list[tuple[str, str]] = []  # text, field it gives
        for place, name in enumerate(names):
            if place and self.rng.random() < OVERLOOKS:
                break
            if name not in ("symptom", "age") and self.rng.random() < KNOWS_NOT:
                replies.append((self.rng.choice(self.w.UNKNOWN), ""))
            else:
                replies.append((self.rng.choice(self.truth[name].replies), name))
        if len(replies) == 2 and self.rng.random() < 0.6:
            (first, gives), (second, also) = replies
            self._say(f"{self._filled(first, gives)}, {self._filled(second, also)}", gives=gives, also=also)
            return
        for text, gives in replies:
            self._say(text, gives=gives)

    def _phrase(self, names: tuple[str, ...]) -> list[str]:
        parts = [self._question(name) for name in names]
        if len(parts) == 2 and self.rng.random() < 0.6:
            parts = [self.w.both(*parts)]
        if self.chat.turns and self.rng.random() < 0.45:
            parts.insert(0, self.rng.choice(self.expert.acks))
        return self._burst(parts)

    def _burst(self, parts: list[str]) -> list[str]:
        return parts if self.rng.random() < self.expert.burst else [" ".join(parts)]

    def _question(self, name: str) -> str:
        return self.rng.choice(self.expert.questions[name]).format(**self.who.expert_words())

    def _unsaid(self) -> list[str]:
        return [name for name, fact in self.truth.items() if fact.volunteered and name not in self.known]

    def _volunteer(self, name: str) -> None:
        self._say(self.rng.choice(self.truth[name].volunteered), gives=name)

    def _filled(self, template: str, name: str) -> str:
        value = self.truth[name].value if name else ""
        return template.format(v=value, **self.who.user_words())

    def _say(self, template: str, *, gives: str = "", also: str = "") -> None:
        text = self._filled(template, gives)
        if self.rng.random() < 0.06:
            text = typing_error(self.rng, text)
        given = {name: self.truth[name].value for name in (gives, also) if name}
        self.known |= set(given)
        self.chat.user(text.lower() if self.lower else text, given)


def converse(rng: random.Random, expert: Expert, w: Wording) -> tuple[Chat, str]:
    """A whole session and how it ended: completed, abandoned or handoff."""
    who = person(rng, w)
    talk = Conversation(
        w=w,
        rng=rng,
        expert=expert,
        who=who,
        truth=facts(rng, who, w),
        chat=Chat(rng, expert.typo),
        lower=rng.random() < 0.45,
    )
    talk.open()
    wanted, fate = talk.wanted(), rng.random()
    hasty = rng.random() < expert.early
    turns = rng.randint(1, 4) if fate < HANDED_OVER else 10
    for _ in range(turns):
        names = talk.next_fields(wanted, hasty=hasty)
        if not names:
            break
        if rng.random() < CHATS:
            talk.chatter()
        if not talk.ask(names):
            talk.leave()
            return talk.chat, "abandoned"
    if fate < HANDED_OVER:
        talk.hand_over()
        return talk.chat, "handoff"
    if rng.random() < expert.late:
        talk.chatter()
    if fate > 1 - WALKED_AWAY:
        talk.leave()
        return talk.chat, "abandoned"
    talk.act()
    return talk.chat, "completed"


def typing_error(rng: random.Random, text: str) -> str:
    """One slip of the finger inside a word: two letters swapped, one dropped, or one typed twice."""
    inside = [i for i in range(1, len(text) - 1) if text[i - 1 : i + 2].isalpha()]
    if not inside:
        return text
    i = rng.choice(inside)
    before, letter, after = text[:i], text[i], text[i + 1 :]
    return rng.choice((before + after[0] + letter + after[1:], before + after, before + letter * 2 + after))
