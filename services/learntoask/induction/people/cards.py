"""The questions to people about a suggestion: at most thirty, those whose answers could change the most labels.

The expected change is the number of questions whose label would become another one, times the chance that people say
something else than the suggestion does. Names change no label and come last.
"""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from learntoask.calibration.answers import NO, YES
from learntoask.core.records import Message
from learntoask.core.text.characters import one_line
from learntoask.induction.assembly.fields import clusters_of, common_words, question_texts
from learntoask.induction.assembly.found import DEFAULT, Found
from learntoask.induction.ends import without_markers
from learntoask.induction.fields.clusters import FEWEST_QUESTIONS, Pair, medoids
from learntoask.induction.fields.questions import Question
from learntoask.induction.names import name_choices
from learntoask.induction.patterns.mining import FEWEST_FOUND
from learntoask.induction.people.said import HELPFUL, NEEDED, NOTHING, Said, said_of
from learntoask.induction.reading.roles import FoundRoles, side_names
from learntoask.induction.suggestion import SuggestedEnds, SuggestedField, SuggestedTask
from learntoask.labeling.logs.parsing import LogMessage
from learntoask.review.records import Choice, Kind, Origin, ReviewItem, Vote

MOST_CARDS = 30
_SCALE = 0.08  # of the margin; the chance that a merge was wrong halves about every 0.06
_EVEN = -0.3  # margin at which two groups that were left apart ask for one thing as often as not
_SCALE_APART = 0.1
_CERTAIN = 50.0
_COMMON = 20  # questions of a group that is a separate field as often as not
_REQUIRED_CHANCE = 0.001  # whether a field is required changes no label of a question
_NAME_CHANCE = 0.0001  # a name changes no label, so names are asked where cards are left
_IDLE = 0.01  # share of suggested fields whose questions find out nothing
_IDLE_REPLIES = 30  # how much likelier it is where all replies are one of a few
_FEW_REPLIES = 3
_CLAUSE_END = re.compile(r"[.,;:!?，。！？、،؟]")
_ELSEWHERE = 0.1  # labels that a question in another task counts as
_OFFERED = 8  # questions to choose from, with keys of their own
_BEFORE = 3  # messages that are shown before a question
_SAME = (
    Choice(key=YES, text="The same", description="one answer would do for both"),
    Choice(key=NO, text="Something else", description="each needs its own answer"),
)
_IDLE_CHOICE = Choice(
    key=NOTHING,
    text="Nothing to find out",
    description="an offer, a check of what is known, or small talk",
)
JUDGE = "the suggestion"


@dataclass(frozen=True)
class _Card:
    value: float
    item: ReviewItem


def review_cards(
    found: Found,
    sound: Sequence[int],
    task_of: Sequence[str | None],
    tasks: Sequence[SuggestedTask],
    fields: Sequence[SuggestedField],
    ends: SuggestedEnds,
    roles: FoundRoles,
    said: Said,
) -> tuple[ReviewItem, ...]:
    """Return the cards, the most telling first.

    `sound` are the kept clusters that became the fields, and `task_of` the task of each session.
    """
    clusters = clusters_of(found, sound)
    cards = Cards(found, task_of, roles, said)
    required = {use.field.name for task in tasks for use in task.fields if use.required}
    names = name_choices(question_texts(found, clusters), common_words(found))
    proposed = [
        *cards.same_field(),
        *cards.asks_for(sound),
        *cards.ends(ends),
        *(
            card
            for field, cluster, choices in zip(fields, clusters, names, strict=True)
            for card in (
                *cards.required(cluster, needed=field.name in required),
                *cards.name(cluster, choices),
            )
        ),
    ]
    proposed.sort(key=lambda card: (-card.value, card.item.digest))
    return tuple({card.item.digest: card.item for card in proposed}.values())[:MOST_CARDS]


@dataclass(frozen=True)
class Cards:
    """Makes the cards of one suggestion. Questions that people have answered are left out."""

    found: Found
    task_of: Sequence[str | None]
    roles: FoundRoles
    said: Said

    @property
    def user(self) -> str:
        return side_names(self.roles.user, self.roles.expert)[0]

    @property
    def expert(self) -> str:
        return side_names(self.roles.user, self.roles.expert)[1]

    def same_field(self) -> Iterator[_Card]:
        """Ask about merges of questions that were made by a small margin."""
        for pair in self.found.clustering.doubtful:
            if max(len(pair.first), len(pair.second)) < FEWEST_QUESTIONS:
                continue
            first, second = (self._typical(group) for group in self._competing(pair))
            if not first.reply or not second.reply or self._is_answered(first, second):
                continue
            yield _Card(
                _chance_wrong(pair.margin) * self._at_stake(pair),
                self._item(
                    "same_field",
                    f"Does the marked message ask the {self.user} for the same thing as the first one?",
                    _SAME,
                    (*_exchange(first), *_exchange(second)),
                    2,
                    (second.session, second.message),
                    YES,
                ),
            )

    def asks_for(self, sound: Sequence[int]) -> Iterator[_Card]:
        """Ask of each group that could be a field whether it asks for what a larger one does, for several, or nothing.

        `sound` are the kept clusters that are fields.
        """
        fields = {self.found.kept[row] for row in sound}
        for number, margins in enumerate(self.found.clustering.margins):
            cluster = self.found.clustering.clusters[number]
            if number in self.found.left_out or any(text in self.said.asks for text in self._plain(cluster)):
                continue
            by_task = self._by_task(cluster)
            task = max(by_task, key=lambda name: (len(by_task[name]), name or ""))
            question = self._typical(by_task[task])
            offered: dict[str, Choice] = {}
            larger = -math.inf  # a smaller one is asked about by itself
            for other in sorted(fields - {number}, key=lambda one: (-margins[one], one)):
                like = self._by_task(self.found.clustering.clusters[other]).get(task, ())
                if len(like) >= FEWEST_FOUND and (text := self._typical(like)).plain != question.plain:
                    offered.setdefault(text.plain, Choice(key=text.plain, text=text.text))
                    larger = max(larger, float(margins[other]) if other < number else -math.inf)
            if not offered:
                continue
            idle = self._idle_chance(cluster) if number in fields else 0.0
            before = _shown(self.found.sessions[question.session].messages[: question.message])
            yield _Card(
                (_chance_same(larger) + idle) * _uncertain_questions(cluster),
                self._item(
                    "asks_for",
                    f"Which of these does the {self.expert} ask in the marked message, in these or other words? Choose "
                    "none if it asks for something else, several only if it asks for several things at once, and "
                    "“Cannot say” if it asks for more things than are here.",
                    (*list(offered.values())[:_OFFERED], _IDLE_CHOICE),
                    (*before, *_exchange(question)),
                    len(before),
                    (question.session, question.message),
                    "",
                ),
            )

    def required(self, cluster: Sequence[int], *, needed: bool) -> Iterator[_Card]:
        """Ask what a field's questions are after."""
        if said_of(self._plain(cluster), self.said.after) is not None:
            return
        question = self._typical(cluster)
        expert = self.expert
        session = self.found.sessions[question.session]
        before = _shown(session.messages[: question.message])
        yield _Card(
            _REQUIRED_CHANCE * len(cluster),
            self._item(
                "required",
                f"What is the {expert} after in the marked message?",
                (
                    Choice(
                        key=NEEDED, text="Something needed", description=f"the {expert} cannot act without it"
                    ),
                    Choice(
                        key=HELPFUL,
                        text="Something helpful",
                        description=f"good to know, but the {expert} can act without it",
                    ),
                    _IDLE_CHOICE,
                ),
                (*before, *_exchange(question)),
                len(before),
                (question.session, question.message),
                NEEDED if needed else HELPFUL,
            ),
        )

    def name(self, cluster: Sequence[int], choices: Sequence[str]) -> Iterator[_Card]:
        """Ask what a field should be called, where its words leave a choice."""
        if len(choices) < 2 or said_of(self._plain(cluster), self.said.names) is not None:
            return
        question = self._typical(cluster)
        yield _Card(
            _NAME_CHANCE * len(cluster),
            self._item(
                "name",
                "What is the best name for what the marked message asks for?",
                tuple(Choice(key=name, text=name.replace("_", " ")) for name in choices),
                _exchange(question),
                0,
                (question.session, question.message),
                choices[0],
            ),
        )

    def ends(self, ends: SuggestedEnds) -> Iterator[_Card]:
        """Ask what the expert does with messages after which the session may be over."""
        for doubt in ends.doubtful:
            session = self.found.sessions[doubt.session]
            said = session.messages[doubt.message]
            text = without_markers(said.content, (marker for marker, _ in ends.markers))
            before = _shown(session.messages[: doubt.message])
            yield _Card(
                doubt.at_stake,
                self._item(
                    "is_end",
                    f"What does the {self.expert} do with the marked message?",
                    (
                        Choice(
                            key="acts",
                            text="Act",
                            description="everything is known, and this is what follows",
                        ),
                        Choice(key="hands_over", text="Hand over", description="to another person"),
                        Choice(
                            key="goes_on", text="Go on", description="more is asked or told before acting"
                        ),
                    ),
                    (*before, Message(role="assistant", content=one_line(text).strip(), author="expert")),
                    len(before),
                    (doubt.session, doubt.message),
                    doubt.guess,
                ),
            )

    def _is_answered(self, first: Question, second: Question) -> bool:
        pair = first.plain, second.plain
        return first.plain == second.plain or pair in self.said.same or pair[::-1] in self.said.same

    def _competing(self, pair: Pair) -> tuple[Sequence[int], Sequence[int]]:
        """Return the questions of the task in which most of both groups are asked; all where no task has both."""
        first, second = (self._by_task(group) for group in (pair.first, pair.second))
        both = [task for task in first if task in second]
        if not both:
            return pair.first, pair.second
        task = max(both, key=lambda name: (min(len(first[name]), len(second[name])), name or ""))
        return first[task], second[task]

    def _by_task(self, group: Sequence[int]) -> dict[str | None, list[int]]:
        found: dict[str | None, list[int]] = defaultdict(list)
        for index in group:
            found[self.task_of[self.found.asked.questions[index].session]].append(index)
        return found

    def _at_stake(self, pair: Pair) -> float:
        """Return the number of questions that would belong to another field than they do.

        Only in a task that asks both is it a difference to labels; elsewhere it is one to what patterns are made from.
        """
        first, second = (self._by_task(group) for group in (pair.first, pair.second))
        together = sum(min(len(first[task]), len(second[task])) for task in first if task in second)
        return together + _ELSEWHERE * (min(len(pair.first), len(pair.second)) - together)

    def _plain(self, cluster: Sequence[int]) -> Iterator[str]:
        return (self.found.asked.questions[index].plain for index in cluster)

    def _typical(self, cluster: Sequence[int]) -> Question:
        """Return the question nearest to the centre, one that was answered if there is one."""
        questions = self.found.asked.questions
        (text,) = medoids(questions, self.found.clustering, cluster, count=1)
        like = [questions[index] for index in cluster if questions[index].text == text]
        return max(like, key=lambda question: (question.alone, question.answered, bool(question.reply)))

    def _idle_chance(self, cluster: Sequence[int]) -> float:
        """Return the chance that the questions find out nothing: to offers most users say one of a few things."""
        questions = [self.found.asked.questions[index] for index in cluster]
        begun = Counter(_CLAUSE_END.split(question.reply.lower())[0].strip() for question in questions)
        commonest = sum(count for _, count in begun.most_common(_FEW_REPLIES)) / begun.total()
        return _IDLE * (1 + _IDLE_REPLIES * commonest**2)

    def _item(
        self,
        kind: Kind,
        text: str,
        choices: tuple[Choice, ...],
        messages: tuple[Message, ...],
        marked: int,
        where: tuple[int, int],  # session and message
        suggested: str,
    ) -> ReviewItem:
        session, place = where
        return ReviewItem(
            kind=kind,
            task=self.task_of[session] or DEFAULT,
            question=text,
            messages=messages,
            start=marked,
            end=marked + 1,
            choices=choices,
            origin=Origin(
                run="lta init",
                stage="init",
                output="",
                session_id=self.found.sessions[session].session_id,
                turn=place,
            ),
            stratum=kind,
            inclusion=1.0,
            split="search",
            why="disagreement",
            several=kind == "asks_for",
            votes=(Vote(judge=JUDGE, answer=(suggested,) if suggested else ()),),
        )


def _chance_wrong(margin: float) -> float:
    """Return the chance that a merge was wrong."""
    return 0.5 / (1 + math.exp(margin / _SCALE))


def _chance_same(margin: float) -> float:
    """Return the chance that two groups which were left apart ask for one thing."""
    return 1 / (1 + math.exp(min(_CERTAIN, (_EVEN - margin) / _SCALE_APART)))


def _uncertain_questions(cluster: Sequence[int]) -> float:
    """Return the expected number of questions of a group that belong to another field.

    It grows more slowly than the group, because a large group is more likely to be a separate field.
    """
    return len(cluster) / (1 + len(cluster) / _COMMON)


def _shown(messages: Sequence[LogMessage]) -> list[Message]:
    """Return the last of the messages before a question."""
    return [
        Message(role=message.role, content=message.content, author=message.author)
        for message in messages
        if message.content.strip()
    ][-_BEFORE:]


def _exchange(question: Question) -> tuple[Message, ...]:
    asked = Message(role="assistant", content=question.text, author="expert")
    reply = Message(role="user", content=question.reply, author="user")
    return (asked, reply) if question.reply else (asked,)
