"""A gateway that decides by a strategy: orders are for the rollout that they were given for."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from learntoask.serving.gateway.client import BackendClient
from learntoask.serving.rollout.controller import Decider
from learntoask.serving.rollout.events import EventReader
from learntoask.serving.rollout.file import Orders, orders_path, read_rollout, write
from learntoask.serving.rollout.ledger import Ledger
from worlds.serving import PACK


class _Server:
    def __init__(self, revision: str) -> None:
        self.revision = revision

    async def info(self, **_: Any) -> SimpleNamespace:
        return SimpleNamespace(policy_revision=self.revision)


class _Gateway:
    """A decider over two servers, whose canary may get another policy."""

    def __init__(self, folder: Path) -> None:
        self.now = 1000.0
        self.canary = _Server("b")
        strategy = folder / "rollout.yaml"
        strategy.write_text(
            "mode: canary\nsteps: [{weight: 10}, {weight: 50}]\nguards: [{metric: abandoned}]\n"
        )
        self.state = folder / "rollout.yaml.state"
        self._decider = Decider(
            Ledger(EventReader(PACK), gateway="g", clock=lambda: self.now),
            cast(BackendClient, _Server("a")),
            cast(BackendClient, self.canary),
            strategy_path=strategy,
            state_path=self.state,
            clock=lambda: self.now,
        )

    def look(self) -> Any:
        """Look once, after the servers can be asked again; return the state that is written."""
        self.now += 60
        asyncio.run(self._decider.look())
        found = read_rollout(self.state)
        assert found is not None
        return found.state

    def order(self, **given: Any) -> None:
        write(orders_path(self.state), Orders(**given))


def test_an_order_is_carried_out(tmp_path: Path) -> None:
    gateway = _Gateway(tmp_path)
    gateway.order(id=gateway.look().id, order="promote")
    assert gateway.look().stage == "Promoted"


def test_the_same_policies_tried_again_are_not_promoted_by_the_order_of_before(tmp_path: Path) -> None:
    gateway = _Gateway(tmp_path)
    gateway.order(id=gateway.look().id, order="promote", paused=True)
    gateway.look()
    gateway.canary.revision = "c"
    assert gateway.look().reason != "Paused"
    gateway.canary.revision = "b"
    again = gateway.look()
    assert (again.stage, again.weight) == ("Steps", 10)
