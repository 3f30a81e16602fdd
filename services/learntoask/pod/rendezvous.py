"""The rendezvous of several workers: the cluster's DNS knows the first pod only once it has been scheduled."""

from __future__ import annotations

import socket
import time

from learntoask.core.errors import StageError
from learntoask.pod.environment import WorkerGroup

_LOOK_AGAIN = 1.0  # seconds


def wait_for_first_worker(group: WorkerGroup, *, timeout: float) -> None:
    """Wait until the name of the first worker can be resolved. Raises StageError after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while True:
        try:
            socket.getaddrinfo(group.host, group.port, type=socket.SOCK_STREAM)
        except socket.gaierror as error:
            if time.monotonic() > deadline:
                raise StageError(
                    f"the name {group.host} of the first of {group.size} workers could not be resolved within "
                    f"spec.train.distributed.timeout: {error.strerror}",
                    reason="WorkersMissing",
                ) from error
            time.sleep(_LOOK_AGAIN)
        else:
            return
