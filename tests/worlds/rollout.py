"""What gateways count of a rollout, as tests say it: events and conversations of both arms."""

from __future__ import annotations

from learntoask.core.status.rollout import MetricCounts, RolloutCounts, WeightCounts


def counted(
    canary: tuple[int, int],
    control: tuple[int, int],
    *,
    weight: int = 10,
    metric: str = "abandoned",
    **more: int,
) -> RolloutCounts:
    """Return counts (events, conversations) of both arms at one weight, whose conversations all are observed."""
    of_metric = MetricCounts(
        metric=metric,
        canary_events=canary[0],
        canary=canary[1],
        control_events=control[0],
        control=control[1],
    )
    of_weight = WeightCounts(
        weight=weight,
        canary_born=canary[1],
        control_born=control[1],
        canary_ended=canary[1],
        control_ended=control[1],
        metrics=(of_metric,),
    )
    return RolloutCounts(weights=(of_weight,), **more)
