"""The suggested tasks with their fields, and the kinds of sessions in logs that name no task."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence, Set

import numpy as np

from learntoask.core.text.characters import one_line
from learntoask.core.text.words import is_unspaced, words
from learntoask.grading.encoders.encoder import Encoder
from learntoask.induction.assembly.fields import EXAMPLES, description_of
from learntoask.induction.assembly.found import DEFAULT, LEAST_SHARE, Found
from learntoask.induction.fields.clusters import FEWEST_QUESTIONS, medoids
from learntoask.induction.patterns.fields import FieldPatterns
from learntoask.induction.suggestion import (
    FieldUse,
    SuggestedEnds,
    SuggestedField,
    SuggestedTask,
    TaskGroup,
)
from learntoask.induction.tasks import MOST_GROUPED, Asked, TaskKeys, group_sessions
from learntoask.labeling.logs.parsing import LogSession
from learntoask.labeling.logs.patterns import any_of

REQUIRED_FROM = 0.6  # share of the completed sessions in which a required field is asked for or known
_TELLING = 2  # first messages of the user that a kind of session is told by
_TELLING_WORDS = 3


def _fewest(sessions: int) -> float:
    """Return the number of sessions from which a field belongs to a task with so many sessions."""
    return max(2.0, min(FEWEST_QUESTIONS, 0.5 * sessions), min(0.05 * sessions, 10 + LEAST_SHARE * sessions))


def tasks_of_fields(columns: Asked, keys: TaskKeys | None) -> list[frozenset[str]]:
    """Return the tasks in which each cluster is asked for often enough to be a field of them."""
    if keys is None:
        fewest = _fewest(len(columns))
        return [frozenset((DEFAULT,) if column.sum() >= fewest else ()) for column in columns.T]
    sizes = Counter(value for value in keys.values if value is not None)
    found = []
    for column in columns.T:
        counts = Counter(
            value
            for value, hit in zip(keys.values, column.tolist(), strict=True)
            if hit and value is not None
        )
        found.append(frozenset(value for value, count in counts.items() if count >= _fewest(sizes[value])))
    return found


def suggested_tasks(
    found: Found,
    fields: Sequence[SuggestedField],
    sound: Sequence[tuple[int, FieldPatterns]],
    columns: Asked,
    keys: TaskKeys | None,
    ends: SuggestedEnds,
    required: Sequence[bool | None],
) -> tuple[SuggestedTask, ...]:
    """Return the tasks. `required` is what people say of each field, or None."""
    values = keys.values if keys else (DEFAULT,) * len(found.sessions)
    completed = _completed(found, ends)
    known = _known(found, fields)
    tasks = []
    for value in sorted({value for value in values if value is not None}):
        rows = [index for index, of in enumerate(values) if of == value]
        done = [index for index in rows if completed[index]] or rows
        own = []
        for field, (row, patterns) in enumerate(sound):
            if not patterns.by_task.get(value):
                continue
            count = int(columns[rows, row].sum())
            share = np.mean(columns[done, row] | known[done, field])
            said = required[field]
            examples = _questions_in(found, row, set(rows)) or fields[field].questions
            own.append(
                FieldUse(
                    field=fields[field],
                    sessions=count,
                    description=description_of(examples[0]),
                    questions=examples,
                    required=bool(share >= REQUIRED_FROM) if said is None else said,
                    patterns=patterns.by_task[value],
                )
            )
        if not own:  # a task needs a field; these sessions ask for something rare
            own = [
                FieldUse(
                    field=field,
                    sessions=0,
                    description=field.description,
                    questions=field.questions,
                    required=False,
                    patterns=field.patterns,
                )
                for field in fields
            ]
        own.sort(key=lambda use: (-use.sessions, use.field.name))
        tasks.append(
            SuggestedTask(name=value, goal=_goal(found, rows), sessions=len(rows), fields=tuple(own))
        )
    return tuple(tasks)


def _questions_in(found: Found, row: int, sessions: Set[int]) -> tuple[str, ...]:
    """Return the questions that stand best for those of a field in `sessions`."""
    questions = found.asked.questions
    cluster = [
        index for index in found.clustering.clusters[found.kept[row]] if questions[index].session in sessions
    ]
    return tuple(medoids(questions, found.clustering, cluster, count=EXAMPLES))


def _completed(found: Found, ends: SuggestedEnds) -> list[bool]:
    """Whether the expert acted in each session, by the markers or because nothing is asked at the end."""
    literal = [marker for marker, _ in ends.markers]
    last = dict(sorted(found.asked.asking))
    return [
        any(marker in message.content for marker in literal for message in session.messages)
        if literal
        else session.messages[-1].role == "assistant" and last.get(index, -1) < len(session.messages) - 1
        for index, session in enumerate(found.sessions)
    ]


def _known(found: Found, fields: Sequence[SuggestedField]) -> Asked:
    """Return [sessions, fields]: whether the user's first messages give the field, by its answer patterns."""
    known = np.zeros((len(found.sessions), len(fields)), dtype=np.bool_)
    searches = [any_of(field.answer_patterns) for field in fields]
    for index, session in enumerate(found.sessions):
        opening = _opening(session)
        for column, search in enumerate(searches):
            known[index, column] = search(opening) is not None
    return known


def _opening(session: LogSession) -> str:
    """Return the user's first messages, up to the expert's answer."""
    said: list[str] = []
    for message in session.messages:
        if message.role == "user":
            said.append(message.content)
        elif said:
            break
    return one_line(" ".join(said))


def _beginning(session: LogSession) -> str:
    """Return the user's first messages, without those of a word or two ("hello"), which say nothing about the task."""
    said = [message.content for message in session.messages if message.role == "user"]
    telling = [text for text in said if len(words(text)) >= _TELLING_WORDS or is_unspaced(text)]
    return one_line(" ".join((telling or said)[:_TELLING]))


def _goal(found: Found, rows: Sequence[int]) -> str:
    """Return the goal that the sessions share, if they name one."""
    goals = Counter(found.sessions[index].goal for index in rows)
    goal, count = goals.most_common(1)[0]
    return goal if goal and 2 * count > len(rows) else ""


def session_groups(found: Found, columns: Asked, encoder: Encoder) -> list[int]:
    openings = [_beginning(session) for session in found.sessions[:MOST_GROUPED]]
    return [int(label) for label in group_sessions(openings, columns[:MOST_GROUPED], encoder)]


def task_groups(
    found: Found,
    fields: Sequence[SuggestedField],
    columns: Asked,
    labels: Sequence[int],
) -> tuple[TaskGroup, ...]:
    """Return the groups of sessions that look like one task, in logs that name none; empty if there is one group."""
    openings = [_opening(session) for session in found.sessions[:MOST_GROUPED]]
    groups = []
    for label in range(max(labels, default=-1) + 1):
        rows = np.flatnonzero(np.array(labels) == label)
        if len(rows) < max(FEWEST_QUESTIONS, 3 * LEAST_SHARE * len(openings)):
            continue
        shares = columns[rows].mean(axis=0)
        names = [
            fields[column].name for column in np.argsort(-shares, kind="stable") if shares[column] >= 0.3
        ]
        groups.append(
            TaskGroup(sessions=len(rows), opening=openings[int(rows[0])][:200], fields=tuple(names[:8]))
        )
    return tuple(groups) if len(groups) > 1 else ()
