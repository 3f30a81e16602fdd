"""The suggested fields with their evidence, and what is not covered."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from learntoask.core.text.characters import one_line
from learntoask.core.text.sentences import sentences
from learntoask.core.text.words import words
from learntoask.induction.assembly.found import Found
from learntoask.induction.fields.clusters import by_frequency, medoids
from learntoask.induction.fields.questions import AskedQuestions, Question
from learntoask.induction.names import field_names, unused_name
from learntoask.induction.patterns.answers import answer_patterns, possible_values
from learntoask.induction.patterns.fields import ExpertMessage, FieldPatterns
from learntoask.induction.patterns.mining import MinedPattern
from learntoask.induction.people.said import said_of
from learntoask.induction.suggestion import (
    Evidence,
    NotCovered,
    SortedQuestion,
    SuggestedField,
)
from learntoask.labeling.logs.patterns import any_of

EXAMPLES = 3  # questions of a field
_SHOWN = 12  # groups of questions that are not covered
_SHOWN_TO_MODEL = 12  # questions of a field, spread over the sessions


def sorted_questions(
    messages: Sequence[ExpertMessage], names: Mapping[int, str]
) -> tuple[SortedQuestion, ...]:
    """Return the messages that ask for one thing, each with its field."""
    counts = Counter(
        (message.task, one_line(message.text), names.get(next(iter(message.fields), -1)))
        for message in messages
        if message.task is not None and (len(message.fields) == 1) != message.unclear
    )
    return tuple(
        SortedQuestion(task=task, text=text, field=field, count=count)
        for (task, text, field), count in sorted(counts.items(), key=lambda entry: (-entry[1], entry[0][:2]))
        if task is not None
    )


def suggested_fields(
    found: Found, mined: Sequence[FieldPatterns], sound: Sequence[int], names_said: Mapping[str, str]
) -> tuple[SuggestedField, ...]:
    """Return the fields. `names_said` are names that people gave, by the plain text of a question."""
    questions = found.asked.questions
    clusters = clusters_of(found, sound)
    replies = [_replies(questions, cluster) for cluster in clusters]
    gives = answer_patterns(replies)
    names = _names(found, clusters, names_said)
    fields = []
    for name, row, cluster, texts, answers in zip(names, sound, clusters, replies, gives, strict=True):
        patterns = mined[row]
        shown = cluster[:: max(1, len(cluster) // _SHOWN_TO_MODEL)][:_SHOWN_TO_MODEL]
        examples = medoids(questions, found.clustering, cluster, count=EXAMPLES)
        fields.append(
            SuggestedField(
                name=name,
                description=description_of(examples[0]),
                patterns=_all_patterns(patterns),
                answer_patterns=answers,
                values=possible_values(texts),
                questions=tuple(examples),
                evidence=Evidence(
                    sessions=len({questions[index].session for index in cluster}),
                    asked=len(cluster),
                    matched=patterns.matched,
                    held_out_precision=patterns.held_out_precision,
                    held_out_coverage=patterns.held_out_coverage,
                    question_ids=tuple(
                        f"{questions[index].session}:{questions[index].message}" for index in shown
                    ),
                    questions=tuple(questions[index].text for index in shown),
                    answers=tuple(by_frequency(Counter(text.lower() for text in texts))[:5]),
                ),
            )
        )
    return tuple(fields)


def clusters_of(found: Found, sound: Sequence[int]) -> list[tuple[int, ...]]:
    """Return the questions of each field."""
    return [found.clustering.clusters[found.kept[row]] for row in sound]


def question_texts(found: Found, clusters: Sequence[Sequence[int]]) -> list[list[str]]:
    """Return the texts of the questions of each cluster."""
    return [[found.asked.questions[index].text for index in cluster] for cluster in clusters]


def _names(found: Found, clusters: Sequence[Sequence[int]], names_said: Mapping[str, str]) -> list[str]:
    """Return a different name for each field; what people said comes before the words of the questions."""
    given = [
        said_of((found.asked.questions[index].plain for index in cluster), names_said) for cluster in clusters
    ]
    names: list[str] = []
    made = field_names(question_texts(found, clusters), common_words(found))
    for said, own in zip(given, made, strict=True):
        names.append(unused_name(said or own, set(names), (own,)))
    return names


def _all_patterns(patterns: FieldPatterns) -> tuple[MinedPattern, ...]:
    """Return the patterns of all tasks, each once, those of the most tasks first."""
    counts = Counter(pattern.expression for of_task in patterns.by_task.values() for pattern in of_task)
    one_of = {pattern.expression: pattern for of_task in patterns.by_task.values() for pattern in of_task}
    return tuple(
        one_of[expression]
        for expression in sorted(counts, key=lambda text: (-counts[text], -one_of[text].found, text))
    )


def _replies(questions: Sequence[Question], cluster: Sequence[int]) -> list[str]:
    """Return the replies to questions that were asked alone and answered."""
    return [
        questions[index].reply for index in cluster if questions[index].alone and questions[index].answered
    ]


def description_of(question: str) -> str:
    """Return the description of a field: a question for it without its marks."""
    return question.strip(" .?!？！。؟")


def common_words(found: Found) -> dict[str, float]:
    """Return the share of the sentences without a question that hold each word."""
    counts: Counter[str] = Counter()
    total = 0
    for number, session in enumerate(found.sessions):
        for place, message in enumerate(session.messages):
            if (number, place) in found.asked.asking:
                continue
            for sentence in sentences(message.content):
                total += 1
                counts.update(set(words(sentence)))
    return {word: count / max(1, total) for word, count in counts.items()}


def not_covered(found: Found, sound: Sequence[int], fields: Sequence[SuggestedField]) -> NotCovered:
    """Return the questions that no pattern of a field matches, by cluster."""
    questions = found.asked.questions
    search = any_of(tuple(pattern.expression for field in fields for pattern in field.patterns))
    left: list[tuple[str, int]] = []
    total = 0
    for number, cluster in enumerate(found.clustering.clusters):
        if number in found.left_out:
            continue
        missed = [index for index in cluster if not search(questions[index].text)]
        total += len(missed)
        if missed and number not in {found.kept[row] for row in sound}:
            left.append((medoids(questions, found.clustering, missed, count=1)[0], len(missed)))
    left.sort(key=lambda entry: (-entry[1], entry[0]))
    return NotCovered(
        questions=tuple(left[:_SHOWN]),
        total=total,
        small_talk=tuple(by_frequency(Counter(found.asked.small_talk))[:EXAMPLES]),
        confirmations=tuple(by_frequency(Counter(found.asked.confirmations))[:EXAMPLES]),
    )


def shortest_question(asked: AskedQuestions) -> int:
    """Return 1 if experts ask in single words, else the pack's default of 2."""
    single = sum(len(words(question.text)) == 1 for question in asked.questions)
    return 1 if single > 0.005 * len(asked.questions) else 2
