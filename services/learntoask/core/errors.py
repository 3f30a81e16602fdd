"""Errors a user can act on.

    LearnToAskError            message says what is wrong, where, and what to do
    ├── InputError             the user's manifest, pack, logs or flags        exit code 2
    ├── StageError             a stage stopped for a reason of its own         exit code 3
    │   └── TooManyMissing     the share of missing grades passed its bound
    ├── GateFailed             the evaluation gate refused the policy          exit code 4
    ├── StoreError             the store cannot be read or written             exit code 5
    └── ClusterError           the cluster refused, or cannot be reached       exit code 6

The command line prints `str(error)` without a traceback and exits with `exit_code`.
"""

from __future__ import annotations


class LearnToAskError(Exception):
    """`reason` is a CamelCase word for status fields; `str(error)` is the sentence for a person."""

    exit_code = 1

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
    exit_code = 5


class ClusterError(LearnToAskError):
    exit_code = 6
