"""Runs on this machine: the stages of a manifest as processes, one after another (`lta run`, `lta sweep`).

    view        a run as it is now: store and remembered attempts -> plan
    executor    the loop: observe, plan, act, wait
    display     progress on a terminal or in a log
    estimate    how long the stages of a run will take
    sweeps      variants of a manifest as runs

Begin with `executor`. What a stage's process does is in `learntoask.runner`.
"""
