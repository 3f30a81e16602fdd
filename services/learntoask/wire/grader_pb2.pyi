from google.protobuf import struct_pb2 as _struct_pb2
from learntoask.wire import ask_pb2 as _ask_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class GradeCase(_message.Message):
    __slots__ = ("session_id", "task", "response", "target", "context")
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    TASK_FIELD_NUMBER: _ClassVar[int]
    RESPONSE_FIELD_NUMBER: _ClassVar[int]
    TARGET_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    session_id: str
    task: str
    response: str
    target: _containers.RepeatedScalarFieldContainer[str]
    context: _containers.RepeatedCompositeFieldContainer[_ask_pb2.Message]
    def __init__(self, session_id: _Optional[str] = ..., task: _Optional[str] = ..., response: _Optional[str] = ..., target: _Optional[_Iterable[str]] = ..., context: _Optional[_Iterable[_Union[_ask_pb2.Message, _Mapping]]] = ...) -> None: ...

class GradeRequest(_message.Message):
    __slots__ = ("grader", "case")
    GRADER_FIELD_NUMBER: _ClassVar[int]
    CASE_FIELD_NUMBER: _ClassVar[int]
    grader: str
    case: GradeCase
    def __init__(self, grader: _Optional[str] = ..., case: _Optional[_Union[GradeCase, _Mapping]] = ...) -> None: ...

class GradeResponse(_message.Message):
    __slots__ = ("result", "digest")
    RESULT_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    result: GradeResult
    digest: str
    def __init__(self, result: _Optional[_Union[GradeResult, _Mapping]] = ..., digest: _Optional[str] = ...) -> None: ...

class GradeBatchRequest(_message.Message):
    __slots__ = ("grader", "cases")
    GRADER_FIELD_NUMBER: _ClassVar[int]
    CASES_FIELD_NUMBER: _ClassVar[int]
    grader: str
    cases: _containers.RepeatedCompositeFieldContainer[GradeCase]
    def __init__(self, grader: _Optional[str] = ..., cases: _Optional[_Iterable[_Union[GradeCase, _Mapping]]] = ...) -> None: ...

class GradeBatchResponse(_message.Message):
    __slots__ = ("results", "digest")
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    results: _containers.RepeatedCompositeFieldContainer[IndexedResult]
    digest: str
    def __init__(self, results: _Optional[_Iterable[_Union[IndexedResult, _Mapping]]] = ..., digest: _Optional[str] = ...) -> None: ...

class IndexedResult(_message.Message):
    __slots__ = ("index", "result")
    INDEX_FIELD_NUMBER: _ClassVar[int]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    index: int
    result: GradeResult
    def __init__(self, index: _Optional[int] = ..., result: _Optional[_Union[GradeResult, _Mapping]] = ...) -> None: ...

class GradeResult(_message.Message):
    __slots__ = ("grade", "missing")
    GRADE_FIELD_NUMBER: _ClassVar[int]
    MISSING_FIELD_NUMBER: _ClassVar[int]
    grade: Grade
    missing: Missing
    def __init__(self, grade: _Optional[_Union[Grade, _Mapping]] = ..., missing: _Optional[_Union[Missing, _Mapping]] = ...) -> None: ...

class Grade(_message.Message):
    __slots__ = ("content", "content_any", "format", "asked", "is_question", "reason")
    CONTENT_FIELD_NUMBER: _ClassVar[int]
    CONTENT_ANY_FIELD_NUMBER: _ClassVar[int]
    FORMAT_FIELD_NUMBER: _ClassVar[int]
    ASKED_FIELD_NUMBER: _ClassVar[int]
    IS_QUESTION_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    content: float
    content_any: float
    format: float
    asked: _containers.RepeatedScalarFieldContainer[str]
    is_question: bool
    reason: str
    def __init__(self, content: _Optional[float] = ..., content_any: _Optional[float] = ..., format: _Optional[float] = ..., asked: _Optional[_Iterable[str]] = ..., is_question: _Optional[bool] = ..., reason: _Optional[str] = ...) -> None: ...

class Missing(_message.Message):
    __slots__ = ("reason",)
    REASON_FIELD_NUMBER: _ClassVar[int]
    reason: str
    def __init__(self, reason: _Optional[str] = ...) -> None: ...

class GraderInfoRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GraderInfoResponse(_message.Message):
    __slots__ = ("version", "pack", "graders", "limits", "draining")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    PACK_FIELD_NUMBER: _ClassVar[int]
    GRADERS_FIELD_NUMBER: _ClassVar[int]
    LIMITS_FIELD_NUMBER: _ClassVar[int]
    DRAINING_FIELD_NUMBER: _ClassVar[int]
    version: str
    pack: str
    graders: _containers.RepeatedCompositeFieldContainer[GraderInfo]
    limits: GraderLimits
    draining: bool
    def __init__(self, version: _Optional[str] = ..., pack: _Optional[str] = ..., graders: _Optional[_Iterable[_Union[GraderInfo, _Mapping]]] = ..., limits: _Optional[_Union[GraderLimits, _Mapping]] = ..., draining: _Optional[bool] = ...) -> None: ...

class GraderInfo(_message.Message):
    __slots__ = ("name", "digest", "kind", "context_messages", "calibration")
    NAME_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_MESSAGES_FIELD_NUMBER: _ClassVar[int]
    CALIBRATION_FIELD_NUMBER: _ClassVar[int]
    name: str
    digest: str
    kind: str
    context_messages: int
    calibration: _struct_pb2.Struct
    def __init__(self, name: _Optional[str] = ..., digest: _Optional[str] = ..., kind: _Optional[str] = ..., context_messages: _Optional[int] = ..., calibration: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ...) -> None: ...

class GraderLimits(_message.Message):
    __slots__ = ("max_cases", "max_queue", "max_message_bytes", "deadline_seconds")
    MAX_CASES_FIELD_NUMBER: _ClassVar[int]
    MAX_QUEUE_FIELD_NUMBER: _ClassVar[int]
    MAX_MESSAGE_BYTES_FIELD_NUMBER: _ClassVar[int]
    DEADLINE_SECONDS_FIELD_NUMBER: _ClassVar[int]
    max_cases: int
    max_queue: int
    max_message_bytes: int
    deadline_seconds: float
    def __init__(self, max_cases: _Optional[int] = ..., max_queue: _Optional[int] = ..., max_message_bytes: _Optional[int] = ..., deadline_seconds: _Optional[float] = ...) -> None: ...
