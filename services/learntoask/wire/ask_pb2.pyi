from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Role(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ROLE_UNSPECIFIED: _ClassVar[Role]
    ROLE_USER: _ClassVar[Role]
    ROLE_ASSISTANT: _ClassVar[Role]

class Author(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    AUTHOR_UNSPECIFIED: _ClassVar[Author]
    AUTHOR_USER: _ClassVar[Author]
    AUTHOR_EXPERT: _ClassVar[Author]
    AUTHOR_POLICY: _ClassVar[Author]

class Arm(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ARM_UNSPECIFIED: _ClassVar[Arm]
    ARM_CONTROL: _ClassVar[Arm]
    ARM_CANARY: _ClassVar[Arm]

class Origin(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ORIGIN_UNSPECIFIED: _ClassVar[Origin]
    ORIGIN_MODEL: _ClassVar[Origin]
    ORIGIN_REPAIRED: _ClassVar[Origin]
    ORIGIN_FALLBACK: _ClassVar[Origin]
    ORIGIN_NO_SERVER: _ClassVar[Origin]
ROLE_UNSPECIFIED: Role
ROLE_USER: Role
ROLE_ASSISTANT: Role
AUTHOR_UNSPECIFIED: Author
AUTHOR_USER: Author
AUTHOR_EXPERT: Author
AUTHOR_POLICY: Author
ARM_UNSPECIFIED: Arm
ARM_CONTROL: Arm
ARM_CANARY: Arm
ORIGIN_UNSPECIFIED: Origin
ORIGIN_MODEL: Origin
ORIGIN_REPAIRED: Origin
ORIGIN_FALLBACK: Origin
ORIGIN_NO_SERVER: Origin

class Message(_message.Message):
    __slots__ = ("role", "content", "author")
    ROLE_FIELD_NUMBER: _ClassVar[int]
    CONTENT_FIELD_NUMBER: _ClassVar[int]
    AUTHOR_FIELD_NUMBER: _ClassVar[int]
    role: Role
    content: str
    author: Author
    def __init__(self, role: _Optional[_Union[Role, str]] = ..., content: _Optional[str] = ..., author: _Optional[_Union[Author, str]] = ...) -> None: ...

class DecideRequest(_message.Message):
    __slots__ = ("messages", "task", "goal", "conversation_id", "assignment", "caller_id")
    MESSAGES_FIELD_NUMBER: _ClassVar[int]
    TASK_FIELD_NUMBER: _ClassVar[int]
    GOAL_FIELD_NUMBER: _ClassVar[int]
    CONVERSATION_ID_FIELD_NUMBER: _ClassVar[int]
    ASSIGNMENT_FIELD_NUMBER: _ClassVar[int]
    CALLER_ID_FIELD_NUMBER: _ClassVar[int]
    messages: _containers.RepeatedCompositeFieldContainer[Message]
    task: str
    goal: str
    conversation_id: str
    assignment: Assignment
    caller_id: str
    def __init__(self, messages: _Optional[_Iterable[_Union[Message, _Mapping]]] = ..., task: _Optional[str] = ..., goal: _Optional[str] = ..., conversation_id: _Optional[str] = ..., assignment: _Optional[_Union[Assignment, _Mapping]] = ..., caller_id: _Optional[str] = ...) -> None: ...

class DecideResponse(_message.Message):
    __slots__ = ("decision",)
    DECISION_FIELD_NUMBER: _ClassVar[int]
    decision: Decision
    def __init__(self, decision: _Optional[_Union[Decision, _Mapping]] = ...) -> None: ...

class DecideManyRequest(_message.Message):
    __slots__ = ("calls", "cancelled")
    class Call(_message.Message):
        __slots__ = ("id", "request", "seconds", "request_id", "metadata")
        class MetadataEntry(_message.Message):
            __slots__ = ("key", "value")
            KEY_FIELD_NUMBER: _ClassVar[int]
            VALUE_FIELD_NUMBER: _ClassVar[int]
            key: str
            value: str
            def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
        ID_FIELD_NUMBER: _ClassVar[int]
        REQUEST_FIELD_NUMBER: _ClassVar[int]
        SECONDS_FIELD_NUMBER: _ClassVar[int]
        REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
        METADATA_FIELD_NUMBER: _ClassVar[int]
        id: int
        request: DecideRequest
        seconds: float
        request_id: str
        metadata: _containers.ScalarMap[str, str]
        def __init__(self, id: _Optional[int] = ..., request: _Optional[_Union[DecideRequest, _Mapping]] = ..., seconds: _Optional[float] = ..., request_id: _Optional[str] = ..., metadata: _Optional[_Mapping[str, str]] = ...) -> None: ...
    CALLS_FIELD_NUMBER: _ClassVar[int]
    CANCELLED_FIELD_NUMBER: _ClassVar[int]
    calls: _containers.RepeatedCompositeFieldContainer[DecideManyRequest.Call]
    cancelled: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, calls: _Optional[_Iterable[_Union[DecideManyRequest.Call, _Mapping]]] = ..., cancelled: _Optional[_Iterable[int]] = ...) -> None: ...

class DecideManyResponse(_message.Message):
    __slots__ = ("results", "draining")
    class Result(_message.Message):
        __slots__ = ("id", "decision", "failure")
        ID_FIELD_NUMBER: _ClassVar[int]
        DECISION_FIELD_NUMBER: _ClassVar[int]
        FAILURE_FIELD_NUMBER: _ClassVar[int]
        id: int
        decision: Decision
        failure: DecideManyResponse.Failure
        def __init__(self, id: _Optional[int] = ..., decision: _Optional[_Union[Decision, _Mapping]] = ..., failure: _Optional[_Union[DecideManyResponse.Failure, _Mapping]] = ...) -> None: ...
    class Failure(_message.Message):
        __slots__ = ("code", "message")
        CODE_FIELD_NUMBER: _ClassVar[int]
        MESSAGE_FIELD_NUMBER: _ClassVar[int]
        code: int
        message: str
        def __init__(self, code: _Optional[int] = ..., message: _Optional[str] = ...) -> None: ...
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    DRAINING_FIELD_NUMBER: _ClassVar[int]
    results: _containers.RepeatedCompositeFieldContainer[DecideManyResponse.Result]
    draining: bool
    def __init__(self, results: _Optional[_Iterable[_Union[DecideManyResponse.Result, _Mapping]]] = ..., draining: _Optional[bool] = ...) -> None: ...

class ConverseRequest(_message.Message):
    __slots__ = ("open", "user_message")
    class Open(_message.Message):
        __slots__ = ("conversation_id", "task", "goal", "history", "assignment", "caller_id")
        CONVERSATION_ID_FIELD_NUMBER: _ClassVar[int]
        TASK_FIELD_NUMBER: _ClassVar[int]
        GOAL_FIELD_NUMBER: _ClassVar[int]
        HISTORY_FIELD_NUMBER: _ClassVar[int]
        ASSIGNMENT_FIELD_NUMBER: _ClassVar[int]
        CALLER_ID_FIELD_NUMBER: _ClassVar[int]
        conversation_id: str
        task: str
        goal: str
        history: _containers.RepeatedCompositeFieldContainer[Message]
        assignment: Assignment
        caller_id: str
        def __init__(self, conversation_id: _Optional[str] = ..., task: _Optional[str] = ..., goal: _Optional[str] = ..., history: _Optional[_Iterable[_Union[Message, _Mapping]]] = ..., assignment: _Optional[_Union[Assignment, _Mapping]] = ..., caller_id: _Optional[str] = ...) -> None: ...
    OPEN_FIELD_NUMBER: _ClassVar[int]
    USER_MESSAGE_FIELD_NUMBER: _ClassVar[int]
    open: ConverseRequest.Open
    user_message: str
    def __init__(self, open: _Optional[_Union[ConverseRequest.Open, _Mapping]] = ..., user_message: _Optional[str] = ...) -> None: ...

class ConverseResponse(_message.Message):
    __slots__ = ("decision",)
    DECISION_FIELD_NUMBER: _ClassVar[int]
    decision: Decision
    def __init__(self, decision: _Optional[_Union[Decision, _Mapping]] = ...) -> None: ...

class Decision(_message.Message):
    __slots__ = ("ask", "stop", "stop_probability", "policy_revision", "usage", "origin", "request_id", "assignment", "missing")
    ASK_FIELD_NUMBER: _ClassVar[int]
    STOP_FIELD_NUMBER: _ClassVar[int]
    STOP_PROBABILITY_FIELD_NUMBER: _ClassVar[int]
    POLICY_REVISION_FIELD_NUMBER: _ClassVar[int]
    USAGE_FIELD_NUMBER: _ClassVar[int]
    ORIGIN_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    ASSIGNMENT_FIELD_NUMBER: _ClassVar[int]
    MISSING_FIELD_NUMBER: _ClassVar[int]
    ask: Ask
    stop: Stop
    stop_probability: float
    policy_revision: str
    usage: Usage
    origin: Origin
    request_id: str
    assignment: Assignment
    missing: _containers.RepeatedCompositeFieldContainer[MissingField]
    def __init__(self, ask: _Optional[_Union[Ask, _Mapping]] = ..., stop: _Optional[_Union[Stop, _Mapping]] = ..., stop_probability: _Optional[float] = ..., policy_revision: _Optional[str] = ..., usage: _Optional[_Union[Usage, _Mapping]] = ..., origin: _Optional[_Union[Origin, str]] = ..., request_id: _Optional[str] = ..., assignment: _Optional[_Union[Assignment, _Mapping]] = ..., missing: _Optional[_Iterable[_Union[MissingField, _Mapping]]] = ...) -> None: ...

class MissingField(_message.Message):
    __slots__ = ("field", "probability")
    FIELD_FIELD_NUMBER: _ClassVar[int]
    PROBABILITY_FIELD_NUMBER: _ClassVar[int]
    field: str
    probability: float
    def __init__(self, field: _Optional[str] = ..., probability: _Optional[float] = ...) -> None: ...

class Assignment(_message.Message):
    __slots__ = ("rollout", "arm", "weight", "born", "gateway", "events", "stopped", "moved", "adopted", "policy_revision")
    ROLLOUT_FIELD_NUMBER: _ClassVar[int]
    ARM_FIELD_NUMBER: _ClassVar[int]
    WEIGHT_FIELD_NUMBER: _ClassVar[int]
    BORN_FIELD_NUMBER: _ClassVar[int]
    GATEWAY_FIELD_NUMBER: _ClassVar[int]
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    STOPPED_FIELD_NUMBER: _ClassVar[int]
    MOVED_FIELD_NUMBER: _ClassVar[int]
    ADOPTED_FIELD_NUMBER: _ClassVar[int]
    POLICY_REVISION_FIELD_NUMBER: _ClassVar[int]
    rollout: str
    arm: Arm
    weight: int
    born: float
    gateway: str
    events: _containers.RepeatedScalarFieldContainer[str]
    stopped: bool
    moved: bool
    adopted: bool
    policy_revision: str
    def __init__(self, rollout: _Optional[str] = ..., arm: _Optional[_Union[Arm, str]] = ..., weight: _Optional[int] = ..., born: _Optional[float] = ..., gateway: _Optional[str] = ..., events: _Optional[_Iterable[str]] = ..., stopped: _Optional[bool] = ..., moved: _Optional[bool] = ..., adopted: _Optional[bool] = ..., policy_revision: _Optional[str] = ...) -> None: ...

class Ask(_message.Message):
    __slots__ = ("question",)
    QUESTION_FIELD_NUMBER: _ClassVar[int]
    question: str
    def __init__(self, question: _Optional[str] = ...) -> None: ...

class Stop(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Usage(_message.Message):
    __slots__ = ("prompt_tokens", "cached_tokens", "completion_tokens")
    PROMPT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    CACHED_TOKENS_FIELD_NUMBER: _ClassVar[int]
    COMPLETION_TOKENS_FIELD_NUMBER: _ClassVar[int]
    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int
    def __init__(self, prompt_tokens: _Optional[int] = ..., cached_tokens: _Optional[int] = ..., completion_tokens: _Optional[int] = ...) -> None: ...

class ReportOutcomeRequest(_message.Message):
    __slots__ = ("conversation_id", "name", "label", "number", "assignment")
    CONVERSATION_ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    LABEL_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    ASSIGNMENT_FIELD_NUMBER: _ClassVar[int]
    conversation_id: str
    name: str
    label: str
    number: float
    assignment: Assignment
    def __init__(self, conversation_id: _Optional[str] = ..., name: _Optional[str] = ..., label: _Optional[str] = ..., number: _Optional[float] = ..., assignment: _Optional[_Union[Assignment, _Mapping]] = ...) -> None: ...

class ReportOutcomeResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetServerInfoRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetServerInfoResponse(_message.Message):
    __slots__ = ("version", "policy_revision", "pack", "pack_digest", "tasks", "default_task", "limits", "draining")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    POLICY_REVISION_FIELD_NUMBER: _ClassVar[int]
    PACK_FIELD_NUMBER: _ClassVar[int]
    PACK_DIGEST_FIELD_NUMBER: _ClassVar[int]
    TASKS_FIELD_NUMBER: _ClassVar[int]
    DEFAULT_TASK_FIELD_NUMBER: _ClassVar[int]
    LIMITS_FIELD_NUMBER: _ClassVar[int]
    DRAINING_FIELD_NUMBER: _ClassVar[int]
    version: str
    policy_revision: str
    pack: str
    pack_digest: str
    tasks: _containers.RepeatedCompositeFieldContainer[TaskInfo]
    default_task: str
    limits: Limits
    draining: bool
    def __init__(self, version: _Optional[str] = ..., policy_revision: _Optional[str] = ..., pack: _Optional[str] = ..., pack_digest: _Optional[str] = ..., tasks: _Optional[_Iterable[_Union[TaskInfo, _Mapping]]] = ..., default_task: _Optional[str] = ..., limits: _Optional[_Union[Limits, _Mapping]] = ..., draining: _Optional[bool] = ...) -> None: ...

class TaskInfo(_message.Message):
    __slots__ = ("name", "goal", "fields")
    NAME_FIELD_NUMBER: _ClassVar[int]
    GOAL_FIELD_NUMBER: _ClassVar[int]
    FIELDS_FIELD_NUMBER: _ClassVar[int]
    name: str
    goal: str
    fields: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, name: _Optional[str] = ..., goal: _Optional[str] = ..., fields: _Optional[_Iterable[str]] = ...) -> None: ...

class Limits(_message.Message):
    __slots__ = ("max_messages", "max_message_bytes", "max_prompt_tokens", "max_new_tokens", "max_concurrent", "max_queue", "max_conversation_bytes")
    MAX_MESSAGES_FIELD_NUMBER: _ClassVar[int]
    MAX_MESSAGE_BYTES_FIELD_NUMBER: _ClassVar[int]
    MAX_PROMPT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    MAX_NEW_TOKENS_FIELD_NUMBER: _ClassVar[int]
    MAX_CONCURRENT_FIELD_NUMBER: _ClassVar[int]
    MAX_QUEUE_FIELD_NUMBER: _ClassVar[int]
    MAX_CONVERSATION_BYTES_FIELD_NUMBER: _ClassVar[int]
    max_messages: int
    max_message_bytes: int
    max_prompt_tokens: int
    max_new_tokens: int
    max_concurrent: int
    max_queue: int
    max_conversation_bytes: int
    def __init__(self, max_messages: _Optional[int] = ..., max_message_bytes: _Optional[int] = ..., max_prompt_tokens: _Optional[int] = ..., max_new_tokens: _Optional[int] = ..., max_concurrent: _Optional[int] = ..., max_queue: _Optional[int] = ..., max_conversation_bytes: _Optional[int] = ...) -> None: ...
