"""Revisions that answers suggest. Each is tested on the sealed anchor before anything is published.

patterns     patterns and example questions of the pack's fields, from answers to `asks_for` items
thresholds   the bounds of the model-free graders, by a grid
prompts      bullets from a small library for the rubrics of language models, and rewrites by a model
guards       what a rewritten prompt must keep
"""
