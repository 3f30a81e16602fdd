"""The commands of `lta rollout`.

A rollout is named by its AskEndpoint, or without a cluster by the strategy file that its gateway was started with.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from learntoask.cli.cluster.options import context_option, in_cluster, namespace_option
from learntoask.cli.options import PATH, json_option
from learntoask.core.errors import InputError

if TYPE_CHECKING:
    from learntoask.core.status.rollout import JudgedPairs, RolloutFile

_target = click.argument("rollout", help="Name of an AskEndpoint, or the strategy file of a gateway.")
_strategy = click.argument("strategy", type=PATH, help="A strategy file.")


@click.group
def rollout() -> None:
    """Show and steer the rollout of a new policy, or compute one."""


def _verb(steer: Callable[..., None]) -> click.Command:
    """Make a command that steers one rollout."""
    return rollout.command(_target(namespace_option(context_option(steer))))


@rollout.command
@_target
@json_option
@namespace_option
@context_option
def status(rollout: str, as_json: bool, namespace: str | None, context: str | None) -> None:
    """Show arms, counts, the evidence about each metric, and what is waited for."""
    from learntoask.cli.rollout.tables import show_state  # noqa: PLC0415 - numpy

    found = _find(rollout, namespace, context)
    assert found.state is not None
    if as_json:
        content = found.state.model_dump(mode="json", by_alias=True, exclude_none=True)
        click.echo(json.dumps(content, indent=1))
    else:
        show_state(found.strategy, found.state)


@_verb
def pause(rollout: str, namespace: str | None, context: str | None) -> None:
    """Stay at the present weight. Harm still leads to a rollback."""
    _steer(rollout, namespace, context, paused=True)


@_verb
def resume(rollout: str, namespace: str | None, context: str | None) -> None:
    """Go on with a paused rollout."""
    _steer(rollout, namespace, context, paused=False)


@_verb
def promote(rollout: str, namespace: str | None, context: str | None) -> None:
    """Give the new policy all new conversations, whatever the evidence is."""
    _steer(rollout, namespace, context, paused=False, order="promote")


@_verb
def abort(rollout: str, namespace: str | None, context: str | None) -> None:
    """Go back to the old policy."""
    _steer(rollout, namespace, context, paused=False, order="abort")


@rollout.command
@_target
@click.option(
    "--pairs", type=PATH, multiple=True, help="Recorded pairs-….jsonl, to show answers that differ."
)
@click.option("--out", type=PATH, default=Path("rollout.html"), help="File to write.")
@namespace_option
@context_option
def report(
    rollout: str, pairs: tuple[Path, ...], out: Path, namespace: str | None, context: str | None
) -> None:
    """Write a page with both arms, the evidence over time, and answers that differ."""
    from learntoask.cli.rollout.page import rollout_page  # noqa: PLC0415 - numpy

    found = _find(rollout, namespace, context)
    assert found.state is not None
    out.write_text(rollout_page(found.strategy, found.state, pairs))
    click.echo(f"wrote {out}")


@rollout.command
@_target
@click.argument("pairs", type=PATH, nargs=-1, required=True, help="Recorded pairs-….jsonl.")
@click.option("--pack", type=PATH, required=True, help="Domain pack of the gateway.")
@click.option(
    "--queue", type=PATH, default=Path("."), help="Folder in which the answers are kept, below reviews/."
)
@click.option("--reviewer", "reviewers", multiple=True, default=("me",), help="Name of a person; repeatable.")
@click.option("--host", default="127.0.0.1", help="Address to listen on.")
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="Port; 0 takes a free one.")
@click.option("--page/--no-page", default=True, help="Whether people are asked now.")
@namespace_option
@context_option
def judge(
    rollout: str,
    pairs: tuple[Path, ...],
    pack: Path,
    queue: Path,
    reviewers: tuple[str, ...],
    host: str,
    port: int,
    page: bool,
    namespace: str | None,
    context: str | None,
) -> None:
    """Let people judge copied answers that differ, without knowing whose they are; then they decide about the copies.

    Serves a page until Ctrl-C, then tells the rollout what people said.
    """
    from learntoask.cli.rollout.judge import PairQueue  # noqa: PLC0415 - starlette
    from learntoask.cli.rollout.tables import show_judged  # noqa: PLC0415 - numpy
    from learntoask.core.pack import load_pack  # noqa: PLC0415
    from learntoask.serving.rollout.pairs import read_pairs  # noqa: PLC0415 - numpy

    state = _find(rollout, namespace, context).state
    assert state is not None
    asked = PairQueue(state.id, read_pairs(pairs, state.id), folder=queue)
    if page:
        asked.ask(reviewers, load_pack(pack), host=host, port=port)
    found, estimate = asked.judged()
    show_judged(found, estimate)
    if estimate is not None:
        _tell_judged(rollout, namespace, context, found)


@rollout.command
@click.argument(
    "records", type=PATH, nargs=-1, required=True, help="Recorded conversations-… and outcomes-….jsonl."
)
@click.option("--strategy", type=PATH, required=True, help="Strategy to decide by.")
@click.option("--pack", type=PATH, required=True, help="Domain pack of the gateway.")
@json_option
def replay(records: tuple[Path, ...], strategy: Path, pack: Path, as_json: bool) -> None:
    """Compute the verdicts again from records, with a look after every conversation."""
    from learntoask.cli.rollout.tables import show_state  # noqa: PLC0415 - numpy
    from learntoask.core.pack import load_pack  # noqa: PLC0415
    from learntoask.serving.rollout.controller import read_strategy  # noqa: PLC0415 - grpc
    from learntoask.serving.rollout.events import EventReader  # noqa: PLC0415
    from learntoask.serving.rollout.replay import replay as compute  # noqa: PLC0415

    settings = read_strategy(strategy)
    found = compute(records, settings, EventReader(load_pack(pack)))
    if not found:
        raise InputError("the records hold no conversation of a rollout")
    if as_json:
        content = {
            id: {
                "conversations": one.conversations,
                "endsAt": one.ends_at,
                "state": one.state.model_dump(mode="json", by_alias=True, exclude_none=True),
            }
            for id, one in found.items()
        }
        click.echo(json.dumps(content, indent=1))
        return
    for one in found.values():
        end = f"after {one.ends_at} of" if one.ends_at else "none after"
        click.echo(f"rollout {one.state.id}: verdict {end} {one.conversations} compared conversations")
        show_state(settings, one.state)


@rollout.command
@_strategy
@click.option("--per-day", type=click.FloatRange(min=0.1), required=True, help="Conversations a day.")
@click.option(
    "--rate",
    "rates",
    multiple=True,
    metavar="METRIC=CONTROL,CANARY",
    help="Chances of a metric's event in both arms, such as abandoned=0.1,0.3. Others: 0.05 in both.",
)
@click.option("--runs", type=click.IntRange(1, 10_000), default=100, help="Number of simulated rollouts.")
@click.option("--days", type=click.FloatRange(min=0.01), default=90.0, help="Longest rollout.")
@click.option("--seed", type=int, default=0)
def simulate(
    strategy: Path, per_day: float, rates: tuple[str, ...], runs: int, days: float, seed: int
) -> None:
    """Say how long a verdict takes at your traffic, and how many users meet the new policy by then."""
    import numpy as np  # noqa: PLC0415

    from learntoask.cli.rollout.tables import show_simulation  # noqa: PLC0415
    from learntoask.rollout.evidence import metric_name  # noqa: PLC0415
    from learntoask.rollout.simulate import Quality  # noqa: PLC0415
    from learntoask.rollout.simulate import simulate as run  # noqa: PLC0415
    from learntoask.serving.rollout.controller import read_strategy  # noqa: PLC0415 - grpc

    settings = read_strategy(strategy)
    names = [metric_name(guard) for guard in settings.guards]
    given = dict(_rate(text, names) for text in rates)
    quality = Quality(chances={name: given.get(name, (0.05, 0.05)) for name in names})
    random = np.random.default_rng(seed)
    show_simulation(
        [run(settings, quality, per_day=per_day, most_days=days, random=random) for _ in range(runs)]
    )


def _rate(text: str, names: list[str]) -> tuple[str, tuple[float, float]]:
    """Read METRIC=CONTROL,CANARY. Raises InputError."""
    name, _, chances = text.partition("=")
    if name not in names:
        raise InputError(f"--rate {text}: the strategy has no guard {name!r}; it has: {', '.join(names)}")
    try:
        control, canary = (float(part) for part in chances.split(","))
    except ValueError:
        raise InputError(f"--rate {text}: give two chances, such as {name}=0.1,0.3") from None
    if not (0 <= control <= 1 and 0 <= canary <= 1):
        raise InputError(f"--rate {text}: chances lie between 0 and 1")
    return name, (control, canary)


def _find(rollout: str, namespace: str | None, context: str | None) -> RolloutFile:
    """Return a rollout that has begun. Raises InputError."""
    if _is_file(rollout):
        from learntoask.serving.rollout.file import read_rollout, state_path  # noqa: PLC0415

        strategy = Path(rollout)
        if not strategy.exists():
            raise InputError(
                f"{rollout} does not exist; give the strategy's file, or the name of an endpoint"
            )
        path = state_path(strategy)
        found = read_rollout(path)
        if found is None or found.state is None:
            raise InputError(
                f"{path} does not exist: no gateway has begun this rollout. A gateway that runs begins once both "
                "servers have told their policies, and its log says what it waits for. Start one with lta gateway "
                f"--server … --canary … --strategy {rollout}"
            )
        return found

    async def read(kube: Any) -> RolloutFile:
        from learntoask.cluster.rollout import rollout_in  # noqa: PLC0415
        from learntoask.kube import ENDPOINT  # noqa: PLC0415 - the extra `operator`

        return rollout_in(await kube.get(ENDPOINT, rollout, namespace=namespace or kube.namespace))

    return in_cluster(read, context=context)  # type: ignore[no-any-return]


def _steer(
    rollout: str,
    namespace: str | None,
    context: str | None,
    *,
    paused: bool,
    order: Literal["promote", "abort"] | None = None,
) -> None:
    """Tell the operator, or the gateway that decides without one, what to do."""
    from learntoask.rollout.decide import is_over  # noqa: PLC0415

    state = _find(rollout, namespace, context).state
    assert state is not None
    if is_over(state):
        raise InputError(f"rollout {state.id} is over: {state.reason}: {state.message}")
    if _is_file(rollout):
        _give_orders(rollout, paused=paused, order=order, id=state.id)
    else:

        async def patch(kube: Any) -> None:
            from learntoask.cluster.rollout import steering_patch  # noqa: PLC0415
            from learntoask.kube import ENDPOINT  # noqa: PLC0415 - the extra `operator`

            change = steering_patch(paused=paused, id=state.id, order=order)
            await kube.patch(ENDPOINT, rollout, change, namespace=namespace or kube.namespace)

        in_cluster(patch, context=context)
    click.echo(f"rollout {state.id} will follow within seconds")


def _tell_judged(rollout: str, namespace: str | None, context: str | None, judged: JudgedPairs) -> None:
    """Tell the operator, or the gateway that decides without one, what people said."""
    if _is_file(rollout):
        _give_orders(rollout, judged=judged)
        return

    async def patch(kube: Any) -> None:
        from learntoask.cluster.rollout import judged_patch  # noqa: PLC0415
        from learntoask.kube import ENDPOINT  # noqa: PLC0415 - the extra `operator`

        await kube.patch(ENDPOINT, rollout, judged_patch(judged), namespace=namespace or kube.namespace)

    in_cluster(patch, context=context)


def _give_orders(strategy: str, **changes: object) -> None:
    """Change the orders to the gateway that decides by a strategy."""
    from learntoask.serving.rollout.file import orders_path, read_orders, state_path, write  # noqa: PLC0415

    path = state_path(Path(strategy))
    write(orders_path(path), read_orders(path).model_copy(update=changes))


def _is_file(rollout: str) -> bool:
    """Whether a file is named; names of endpoints have neither a dot nor a slash."""
    return "/" in rollout or "." in rollout
