"""Grade what a policy asks: for which fields, and were they still needed (docs/grading.md)? Begin with `grades`.

grades          the grader protocol: GradeCase in, Grade or MissingGrade out
reward          from a grade to a reward
fluency         the guard that refuses responses that are no fluent question

fields/         the model-free grader, fitted on expert questions
judge/          the grader that asks a language model
encoders/       sentence encoders of the model-free grader

examples        questions with the fields they ask for
questions       all examples of the labelled sessions, for fitting and measuring
cues            cues of requests without a question mark, as published
learned_cues    learn these cues from the labels
guard_check     how many of the experts' own questions the guard refuses, and what to change
unsure_check    how many of them a grader gives no grade
expert_check    both, for `lta data check`
nonquestions    templates of what an untrained model says instead of asking
agreement       how far a grader agrees with labels
known_wordings  which held-out questions a grader was fitted on word for word
stage           the stage grader: fit or publish two graders and measure them
loader          open a published grader
probe           `lta grader probe`: measure a grader without a run
"""
