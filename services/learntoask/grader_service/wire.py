"""Converts cases and grades between protobuf and records, for the service and its client."""

from __future__ import annotations

from learntoask.client.wire import AUTHORS, ROLES, to_wire
from learntoask.core.records import Author, Message
from learntoask.grading.grades import Grade, GradeCase, MissingGrade
from learntoask.rpc.requests import InvalidRequest
from learntoask.wire import ask_pb2, grader_pb2


def case_to_wire(case: GradeCase) -> grader_pb2.GradeCase:
    """Convert a case to protobuf."""
    return grader_pb2.GradeCase(
        session_id=case.session_id,
        task=case.task,
        response=case.response,
        target=sorted(case.target),
        context=to_wire(case.context),
    )


def case_from_wire(case: grader_pb2.GradeCase, *, field: str) -> GradeCase:
    """Convert a case, whose path in the request is `field`. Raises InvalidRequest for a message without a role."""
    return GradeCase(
        session_id=case.session_id,
        task=case.task,
        response=case.response,
        target=frozenset(case.target),
        context=tuple(
            _message(message, field=f"{field}.context[{index}]") for index, message in enumerate(case.context)
        ),
    )


def result_to_wire(answer: Grade | MissingGrade) -> grader_pb2.GradeResult:
    """Convert a result to protobuf."""
    if isinstance(answer, MissingGrade):
        return grader_pb2.GradeResult(missing=grader_pb2.Missing(reason=answer.reason))
    return grader_pb2.GradeResult(
        grade=grader_pb2.Grade(
            content=answer.content,
            content_any=answer.content_any,
            format=answer.format,
            asked=sorted(answer.asked),
            is_question=answer.is_question,
            reason=answer.reason,
        )
    )


def result_from_wire(result: grader_pb2.GradeResult) -> Grade | MissingGrade:
    """Convert a result; one without an outcome is missing."""
    outcome = result.WhichOneof("outcome")
    if outcome != "grade":
        return MissingGrade(
            result.missing.reason if outcome else "the service sent neither a grade nor a reason"
        )
    grade = result.grade
    return Grade(
        content=grade.content,
        content_any=grade.content_any,
        format=grade.format,
        asked=frozenset(grade.asked),
        is_question=grade.is_question,
        reason=grade.reason,
    )


def _message(message: ask_pb2.Message, *, field: str) -> Message:
    role = ROLES.get(message.role)
    if role is None:
        raise InvalidRequest(f"{field}.role", "unspecified or unknown; set ROLE_USER or ROLE_ASSISTANT")
    usual: Author = "user" if role == "user" else "policy"
    return Message(role=role, content=message.content, author=AUTHORS.get(message.author, usual))
