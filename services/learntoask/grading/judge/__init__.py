"""The judge: a language model that grades questions, with reasons (docs/grading.md).

judge     Judge, a Grader; begin here
prompt    the messages that it reads
verdict   the JSON form that it fills in, and the check for contradictions
probes    questions with known answers that measure a judge
stage     the judge's part of the stage grader
"""
