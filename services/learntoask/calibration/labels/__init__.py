"""From findings and answers to labels: what is probable, what people say of it, and what becomes of each label.

sessions    a labelled session beside the log, and what the user gives in it
posterior   how probable each (turn, field) pair is, from all judges and people
evidence    the label that findings imply at each decision point
doubts      where it differs from the published label, and by how much
purge       what becomes of the doubts, after people have answered some of them
rewrite     the labelled session with corrected and without purged samples
"""
