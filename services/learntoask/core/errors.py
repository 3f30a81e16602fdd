"""Errors that a user can act on.

    LearnToAskError            message says what is wrong, where, and what to do
    ├── InputError             the manifest, pack, logs or flags are wrong     exit code 2
    ├── StageError             a stage cannot compute its output               exit code 3
    │   └── TooManyMissing     more grades are missing than the manifest allows
    ├── GateFailed             the evaluation gate refused the policy          exit code 4
    ├── StoreError             the store cannot be read or written             exit code 5
    └── ClusterError           the cluster refused, or cannot be reached       exit code 6

The command line prints `str(error)` without a traceback and exits with `exit_code`. Any other exception is a bug.
"""

from __future__ import annotations


class LearnToAskError(Exception):
    """The base of all errors that a user can act on.

    `reason` is a CamelCase word for status fields (default: the class name); `str(error)` is the message for a person.
    `retryable` tells whether the same attempt may succeed later without anybody's help.
    """

    exit_code = 1
    retryable = False

    def __init__(self, message: str, *, reason: str | None = None) -> None:
        super().__init__(message)
        self.reason = reason or type(self).__name__


class InputError(LearnToAskError):
    exit_code = 2


class StageError(LearnToAskError):
    exit_code = 3


class TooManyMissing(StageError):
    pass


class GateFailed(LearnToAskError):
    exit_code = 4


class StoreError(LearnToAskError):
    """A store may recover, unless what is wrong is wrong with its address or credentials: then `retryable` is False."""

    exit_code = 5

    def __init__(self, message: str, *, reason: str | None = None, retryable: bool = True) -> None:
        super().__init__(message, reason=reason)
        self.retryable = retryable


class ClusterError(LearnToAskError):
    exit_code = 6
