"""Revisions that answers suggest. Each is tested on the sealed anchor before anything is published.

patterns     patterns and example questions of the pack's fields, from answers to `asks_for` items
thresholds   the bounds of the model-free graders, by a grid
relabel      the logs labelled again with a revised pack
prompts      a prompt of a language model: bullets from a small library, then a rewrite by another one (proposals)
rubric       the judge's prompt;  labelling: the labeller's
guards       what a rewritten prompt must keep
"""
