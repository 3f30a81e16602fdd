from learntoask.wire import ask_pb2 as _ask_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class GatewayView(_message.Message):
    __slots__ = ("endpoint", "serving", "trouble", "rollout", "outcomes")
    ENDPOINT_FIELD_NUMBER: _ClassVar[int]
    SERVING_FIELD_NUMBER: _ClassVar[int]
    TROUBLE_FIELD_NUMBER: _ClassVar[int]
    ROLLOUT_FIELD_NUMBER: _ClassVar[int]
    OUTCOMES_FIELD_NUMBER: _ClassVar[int]
    endpoint: str
    serving: int
    trouble: str
    rollout: RolloutView
    outcomes: _containers.RepeatedCompositeFieldContainer[_ask_pb2.ReportOutcomeRequest]
    def __init__(self, endpoint: _Optional[str] = ..., serving: _Optional[int] = ..., trouble: _Optional[str] = ..., rollout: _Optional[_Union[RolloutView, _Mapping]] = ..., outcomes: _Optional[_Iterable[_Union[_ask_pb2.ReportOutcomeRequest, _Mapping]]] = ...) -> None: ...

class RolloutView(_message.Message):
    __slots__ = ("id", "start", "counts")
    ID_FIELD_NUMBER: _ClassVar[int]
    START_FIELD_NUMBER: _ClassVar[int]
    COUNTS_FIELD_NUMBER: _ClassVar[int]
    id: str
    start: str
    counts: str
    def __init__(self, id: _Optional[str] = ..., start: _Optional[str] = ..., counts: _Optional[str] = ...) -> None: ...

class PolicyServers(_message.Message):
    __slots__ = ("addresses", "canary_addresses", "rollout", "outcomes")
    ADDRESSES_FIELD_NUMBER: _ClassVar[int]
    CANARY_ADDRESSES_FIELD_NUMBER: _ClassVar[int]
    ROLLOUT_FIELD_NUMBER: _ClassVar[int]
    OUTCOMES_FIELD_NUMBER: _ClassVar[int]
    addresses: _containers.RepeatedScalarFieldContainer[str]
    canary_addresses: _containers.RepeatedScalarFieldContainer[str]
    rollout: str
    outcomes: _containers.RepeatedCompositeFieldContainer[_ask_pb2.ReportOutcomeRequest]
    def __init__(self, addresses: _Optional[_Iterable[str]] = ..., canary_addresses: _Optional[_Iterable[str]] = ..., rollout: _Optional[str] = ..., outcomes: _Optional[_Iterable[_Union[_ask_pb2.ReportOutcomeRequest, _Mapping]]] = ...) -> None: ...
