"""From sessions to a suggestion: pure functions, apart from the encoder that is passed in.

suggest ─► questions ─► clusters ─► tasks ─► patterns ─► names, ends ─► Suggestion
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from learntoask.grading.encoders.encoder import Encoder
from learntoask.induction.assembly.fields import (
    not_covered,
    shortest_question,
    sorted_questions,
    suggested_fields,
)
from learntoask.induction.assembly.found import DEFAULT, LEAST_SHARE, Found
from learntoask.induction.assembly.tasks import (
    session_groups,
    suggested_tasks,
    task_groups,
    tasks_of_fields,
)
from learntoask.induction.ends import find_ends, without_markers
from learntoask.induction.fields.clusters import FEWEST_QUESTIONS, cluster_questions
from learntoask.induction.fields.questions import AskedQuestions
from learntoask.induction.patterns.fields import ExpertMessage, mine_fields
from learntoask.induction.people.cards import review_cards
from learntoask.induction.people.said import NEEDED, NOTHING, Said, said_of
from learntoask.induction.reading.metadata import candidate_keys
from learntoask.induction.reading.roles import FoundRoles
from learntoask.induction.reading.sessions import ReadSessions
from learntoask.induction.suggestion import (
    SuggestedEnds,
    Suggestion,
)
from learntoask.induction.tasks import Asked, TaskKeys, find_task_keys, task_keys

_LEAST_HELD_OUT = 0.5  # precision on unseen sessions below which a field is not suggested
_RARE = 3  # questions of a group below which it may be a wording of some field


def suggest(
    read: ReadSessions,
    roles: FoundRoles,
    asked: AskedQuestions,
    said: Said,
    *,
    encoder: Encoder,
    language: str,
    languages: dict[str, float],
    logs: str,
    total: int,
    task_from: Sequence[str] | None = None,
    notes: Sequence[str] = (),
) -> Suggestion:
    """Return what the sessions suggest. `total` is the number of sessions of the whole file.

    `task_from` are the keys that name the task, if they are known; otherwise they are looked for. `said` is what people
    said about an earlier suggestion.
    """
    sessions = read.sessions
    clustering = cluster_questions(
        asked.questions, encoder, sessions=len(sessions), same=said.same_field, several=said.several_fields
    )
    after = [
        said_of((asked.questions[index].plain for index in cluster), said.after)
        for cluster in clustering.clusters
    ]
    fewest = max(2, LEAST_SHARE * len(sessions))
    kept = tuple(
        number
        for number, cluster in enumerate(clustering.clusters)
        if after[number] != NOTHING
        and len(cluster) >= FEWEST_QUESTIONS
        and len({asked.questions[index].session for index in cluster}) >= fewest
    )
    left_out = frozenset(number for number, answer in enumerate(after) if answer == NOTHING)
    found = Found(sessions, asked, clustering, kept, left_out)
    columns = _asked_matrix(found)
    keys = (
        find_task_keys(candidate_keys(sessions), columns)
        if task_from is None
        else task_keys(sessions, task_from, columns)
    )
    ends = find_ends(sessions, asked.asking, language=language, said=said.ends)
    uses = tasks_of_fields(columns, keys)
    messages = _expert_messages(found, ends, keys)
    mined = mine_fields(messages, uses)
    sound = [
        row
        for row, patterns in enumerate(mined)
        if any(patterns.by_task.values()) and (patterns.held_out_precision or 0.0) >= _LEAST_HELD_OUT
    ]
    fields = suggested_fields(found, mined, sound, said.names)
    labels = [] if keys else session_groups(found, columns[:, sound], encoder)
    required = [None if (answer := after[kept[row]]) is None else answer == NEEDED for row in sound]
    tasks = suggested_tasks(
        found, fields, [(row, mined[row]) for row in sound], columns, keys, ends, required
    )
    task_of = keys.values if keys else (DEFAULT,) * len(sessions)
    return Suggestion(
        logs=logs,
        total=total,
        sessions=len(sessions),
        rejected=read.rejected,
        copies=read.copies,
        user_roles=roles.user,
        expert_roles=roles.expert,
        roles_reason=roles.reason,
        language=language,
        languages=languages,
        task_from=keys.paths if keys else (),
        task_share=keys.share if keys else None,
        tasks=tasks,
        groups=task_groups(found, fields, columns[:, sound], labels),
        session_groups=tuple(labels),
        fields=fields,
        ends=ends,
        not_covered=not_covered(found, sound, fields),
        sorted_questions=sorted_questions(
            messages, {row: field.name for row, field in zip(sound, fields, strict=True)}
        ),
        questions=len(asked.questions),
        min_words=shortest_question(asked),
        notes=tuple(notes),
        cards=review_cards(found, sound, task_of, tasks, fields, ends, roles, said),
    )


def _asked_matrix(found: Found) -> Asked:
    """Return [sessions, kept clusters]: whether the session asks a question of the cluster."""
    columns = np.zeros((len(found.sessions), len(found.kept)), dtype=np.bool_)
    for column, number in enumerate(found.kept):
        for index in found.clustering.clusters[number]:
            columns[found.asked.questions[index].session, column] = True
    return columns


def _expert_messages(found: Found, ends: SuggestedEnds, keys: TaskKeys | None) -> list[ExpertMessage]:
    """Return all expert messages with the clusters that their questions belong to."""
    fields_of: dict[int, list[int]] = defaultdict(list)
    for row, number in enumerate(found.kept):
        for index in found.clustering.clusters[number]:
            fields_of[index].append(row)
    rare = {index for cluster in found.clustering.clusters if len(cluster) < _RARE for index in cluster}
    units: dict[tuple[int, int], list[tuple[int, str]]] = defaultdict(list)
    unclear: set[tuple[int, int]] = set()
    clustered = {index for cluster in found.clustering.clusters for index in cluster}
    for index, question in enumerate(found.asked.questions):
        where = (question.session, question.message)
        units[where] += [(field, question.text) for field in fields_of[index]]
        if index in rare or index not in clustered:  # it may be another wording of any field
            unclear.add(where)
    messages = []
    for number, session in enumerate(found.sessions):
        for place, message in enumerate(session.messages):
            if message.author != "expert":
                continue
            text = without_markers(message.content, (marker for marker, _ in ends.markers))
            asked = units[number, place]
            messages.append(
                ExpertMessage(
                    session=number,
                    task=keys.values[number] if keys else DEFAULT,
                    text=text,
                    fields=frozenset(field for field, _ in asked),
                    units=tuple(asked),
                    unclear=(number, place) in unclear,
                )
            )
    return messages
