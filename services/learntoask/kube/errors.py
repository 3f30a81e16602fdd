"""The refusals of an API server, as exceptions.

ClusterError (core.errors)   the cluster refused, or cannot be reached       exit code 6
└── KubeError                any refusal, with the HTTP status and the server's reason
    ├── NotFound             404
    ├── AlreadyExists        409 on create: the object exists, perhaps from a call whose response was lost
    ├── Conflict             409: the object changed since it was read
    ├── Expired              410: a watch has to start again from a list
    ├── Invalid              400, 422: the object is refused; `fields` maps its fields to messages
    ├── Forbidden            401, 403
    └── Unavailable          no response, 429 or 5xx until the deadline
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from learntoask.core.errors import ClusterError


class KubeError(ClusterError):
    def __init__(
        self,
        message: str,
        *,
        status: int = 0,
        reason: str | None = None,
        fields: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message, reason=reason)
        self.status = status
        self.fields = dict(fields or {})


class NotFound(KubeError):
    pass


class AlreadyExists(KubeError):
    pass


class Conflict(KubeError):
    pass


class Expired(KubeError):
    pass


class Invalid(KubeError):
    pass


class Forbidden(KubeError):
    pass


class Unavailable(KubeError):
    pass


_BY_STATUS = {
    400: Invalid,
    401: Forbidden,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    410: Expired,
    422: Invalid,
}


def kube_error(status: int, answer: Mapping[str, Any], *, what: str) -> KubeError:
    """Return the error for a response of the API server (a `Status` object). `what` names the request in the
    message."""
    message, reason = str(answer.get("message") or f"HTTP {status}"), answer.get("reason")
    kind = AlreadyExists if reason == "AlreadyExists" else _BY_STATUS.get(status, KubeError)
    if status == 429 or status >= 500:
        kind = Unavailable
    causes = (answer.get("details") or {}).get("causes") or ()
    fields = {str(cause.get("field")): str(cause.get("message")) for cause in causes if cause.get("field")}
    return kind(f"{what}: {message}", status=status, reason=reason or kind.__name__, fields=fields)
