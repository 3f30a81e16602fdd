"""Between protobuf and the records of grading, for the service and for who asks it."""

from __future__ import annotations

from learntoask.client.wire import to_wire
from learntoask.core.records import Author, Message, Role
from learntoask.grading.grades import Grade, GradeCase, Missing
from learntoask.rpc.requests import InvalidRequest
from learntoask.wire import ask_pb2, grader_pb2

_ROLES: dict[int, Role] = {ask_pb2.ROLE_USER: "user", ask_pb2.ROLE_ASSISTANT: "assistant"}
_AUTHORS: dict[int, Author] = {
    ask_pb2.AUTHOR_USER: "user",
    ask_pb2.AUTHOR_EXPERT: "expert",
    ask_pb2.AUTHOR_POLICY: "policy",
}


def case_to_wire(case: GradeCase) -> grader_pb2.GradeCase:
    return grader_pb2.GradeCase(
        session_id=case.session_id,
        task=case.task,
        response=case.response,
        target=sorted(case.target),
        context=to_wire(case.context),
    )


def case_from_wire(case: grader_pb2.GradeCase, *, field: str) -> GradeCase:
    """Raises InvalidRequest for a message without a role. `field` is where the case stands in the request."""
    return GradeCase(
        session_id=case.session_id,
        task=case.task,
        response=case.response,
        target=frozenset(case.target),
        context=tuple(
            _message(message, field=f"{field}.context[{index}]") for index, message in enumerate(case.context)
        ),
    )


def result_to_wire(answer: Grade | Missing) -> grader_pb2.GradeResult:
    if isinstance(answer, Missing):
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


def result_from_wire(result: grader_pb2.GradeResult) -> Grade | Missing:
    outcome = result.WhichOneof("outcome")
    if outcome != "grade":
        return Missing(result.missing.reason if outcome else "the service sent neither a grade nor a reason")
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
    role = _ROLES.get(message.role)
    if role is None:
        raise InvalidRequest(f"{field}.role", "unspecified or unknown; set ROLE_USER or ROLE_ASSISTANT")
    usual: Author = "user" if role == "user" else "policy"
    return Message(role=role, content=message.content, author=_AUTHORS.get(message.author, usual))
