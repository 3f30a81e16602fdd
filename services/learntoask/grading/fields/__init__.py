"""The model-free grader: find the fields that a question asks for, with models fitted on expert questions.

question ──▶ features of (question, field) pairs ──▶ classifier ──▶ probability of each field ──▶ grade

grader       FieldGrader; begin here
candidates   the fields of the pack, prepared for the comparison with questions
features     the features of a (question, field) pair
lexical      a sparse linear model over pairs of words and fields; one of the features
neighbours   the votes of the most similar expert questions; two of the features
word_pairs   the pairs of neighbouring words of the expert questions, to find garbled text
classifiers  logistic regression and boosted trees as plain arrays

fitting      fit a grader on labelled questions
sklearn      the fits that scikit-learn does
fitted       the result of a fit
storage      write and read a fitted grader
"""
