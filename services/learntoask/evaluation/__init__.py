"""Evaluation of policies on held-out sessions (docs/reports.md). Begin with `stage` and follow `evaluate_models`.

labelled.jsonl, models, graders ──▶ decisions.jsonl, replay.jsonl, report.json, report.html       (stage evaluate)
report.json ──▶ verdict.json                                                                      (stage gate)

stage          the stage evaluate
heldout        chooses the held-out sessions
policy         the interface of a policy that is evaluated; `torch_policy` implements it with torch
evaluate       decodes, grades and replays with one policy, and resumes after a kill
decisions      the records of decisions.jsonl and their grading
assessments    what policies find missing against the micro-goals;  repeats: repeated questions;  stops: stops by turn
replay         lets the policy conduct whole sessions with a user simulated from the log
stats/         metrics and their confidence intervals
summary        from the decisions of a policy to its figures
report_schema  the models of report.json
report/        assembles the report and renders it as a page
figures        the figures of a report by name
gate           the stage gate: compares figures with the thresholds of the manifest
compare        `lta compare`: the differences of two runs
sweep/         the report of a sweep over several runs
"""
