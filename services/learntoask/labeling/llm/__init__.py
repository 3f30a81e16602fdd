"""Labeller `llm`: language models find what is asked and given, and every finding is checked against the log.

session ──▶ prompt ──▶ model ──▶ extraction (checked by grounding) ──▶ vote ──▶ findings

labeller     sends the requests, many sessions at once; begin here
prompt       the messages that a model reads
extraction   the JSON form that a model fills in, and the check of its content
grounding    whether a quote occurs in a text
vote         one result from the findings of several models
findings     from checked findings per turn to the labels of a session
"""
