"""The steps of the stage calibrate, in their order.

work     what the stage knows and has decided so far, read from its inputs
carried  answers to items of earlier draws
prompts  a prompt of a language model, revised
labels   patterns or prompts of the labeller revised, labels purged and corrected, and published
graders  the graders fitted on these labels, their bounds and rubric revised, and published
record   calibration.json, and revised.yaml if something was revised
"""
