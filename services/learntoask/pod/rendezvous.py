"""Finding the first of several pods: its name is known to the cluster's DNS only once it is scheduled."""

from __future__ import annotations

import socket
import time

from learntoask.core.errors import StageError
from learntoask.pod.environment import Group

_LOOK_AGAIN = 1.0  # seconds


def await_first(group: Group, *, timeout: float) -> None:
    """Wait until the name of the first pod can be resolved. Raises StageError after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while True:
        try:
            socket.getaddrinfo(group.host, group.port, type=socket.SOCK_STREAM)
        except socket.gaierror as error:
            if time.monotonic() > deadline:
                raise StageError(
                    f"the first of {group.size} workers was not to be found at {group.host} within "
                    f"spec.train.distributed.timeout: {error.strerror}",
                    reason="WorkersMissing",
                ) from error
            time.sleep(_LOOK_AGAIN)
        else:
            return
