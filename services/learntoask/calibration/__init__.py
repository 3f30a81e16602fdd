"""Calibrate labellers and graders against the answers of people (docs/calibration.md).

draw/       the stage draw: what the judges find, and which items people are asked
answers     the frozen answers, and what people agree on
labels/     from answers and findings to purged and corrected labels
revise/     patterns, thresholds and prompts that answers suggest
acceptance  whether a revision is accepted;  anchor: the sealed answers that decide it
weights     how many turns of the logs each turn of the anchor stands for
gate        whether a grader may be trusted
agreement   κ of each judge with people
truth       the human truth at decision points, for corrected metrics
steps/      the steps of the stage calibrate;  stage: the stage, which takes them one after the other
"""
