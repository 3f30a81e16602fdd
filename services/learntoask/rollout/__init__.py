"""Rollouts with a control arm: who gets the new policy, what both arms show, and what follows. All functions are pure.

    assignment   which arm a new conversation belongs to
    evidence     the e-values of each guard from the counts of both arms
    decide       from one state of a rollout to the next: steps, promotion, rollback
    forecast     how many conversations and days are still needed
    looks        a bounded history of looks
    simulate     replays rollouts of policies of known quality

The strategy is `core.manifest.strategy`, the state `core.status.rollout`, the statistics `statistics.two_sample`.
"""
