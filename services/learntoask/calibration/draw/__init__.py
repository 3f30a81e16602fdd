"""The stage draw: what each judge finds at each expert turn, and the items that people are asked.

findings   what labeller and graders find in each expert turn
repeated   repeated judgements by a language model
sampling   systematic samples with known inclusion probabilities, and nested ones
wordings   which questions without a field tell most about the others
items      the items of a review queue
plan       which items, of which sessions
stage      the stage
"""
