"""The stages of a run. Begin with `graph`, then read `planner`.

graph           the stages: inputs, settings and keys
publication     the published output of a stage
planner         which stages to start or stop next
contract        what a stage function gets, and what it returns
gc_candidates   artefacts of deleted runs that may be removed
"""
