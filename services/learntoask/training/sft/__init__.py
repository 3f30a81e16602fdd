"""Supervised fine-tuning.

stage       run(context): what the runner calls
trainer     SftTrainer: steps, validation, checkpoints
batches     which session trees each update trains
targets     which expert turns are targets, and which sessions SFT leaves to GRPO
hindsight   which later questions of the expert are targets of an earlier turn, too
"""
