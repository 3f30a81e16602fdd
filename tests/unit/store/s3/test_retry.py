"""Retries during an outage: they last as long as configured, and no longer."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from learntoask.store.s3.retry import PATIENCE, Patience, call_with_retries


class Clock:
    """A clock that only advances in `sleep`."""

    def __init__(self) -> None:
        self.time = 0.0

    def now(self) -> float:
        return self.time

    def sleep(self, seconds: float) -> None:
        self.time += seconds


class Server:
    def __init__(self, clock: Clock, *, up_at: float) -> None:
        self._clock, self._up_at, self.requests = clock, up_at, 0

    def answer(self) -> str:
        self.requests += 1
        if self._clock.time < self._up_at:
            raise ConnectionError("connection refused")
        return "here"


def _asked(server: Server, clock: Clock, *, draw: float = 0.5, patience: Patience = PATIENCE) -> str:
    return call_with_retries(
        server.answer,
        is_transient=lambda error: isinstance(error, ConnectionError),
        patience=patience,
        doing="reading",
        now=clock.now,
        sleep=clock.sleep,
        draw=lambda: draw,
    )


@given(st.floats(0, 1), st.floats(0, 130))
def test_an_outage_of_two_minutes_is_survived_without_a_storm_of_requests(draw: float, up_at: float) -> None:
    clock = Clock()
    server = Server(clock, up_at=up_at)
    assert _asked(server, clock, draw=draw) == "here"
    assert clock.time <= up_at + 5
    assert server.requests <= 70


@given(st.floats(0, 1), st.floats(1, 300))
def test_patience_ends(draw: float, seconds: float) -> None:
    clock = Clock()
    with pytest.raises(ConnectionError):
        _asked(Server(clock, up_at=1e9), clock, draw=draw, patience=Patience(seconds=seconds))
    assert clock.time <= seconds


def test_what_will_not_pass_is_not_repeated() -> None:
    requests = []

    def refused() -> None:
        requests.append(1)
        raise PermissionError("no")

    with pytest.raises(PermissionError):
        call_with_retries(refused, is_transient=lambda error: False, patience=PATIENCE, doing="reading")
    assert len(requests) == 1


def test_an_outage_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    _asked(Server(clock, up_at=30), clock)
    assert [record.getMessage() for record in caplog.records] == [
        "reading: connection refused; trying again for 150 s"
    ]
