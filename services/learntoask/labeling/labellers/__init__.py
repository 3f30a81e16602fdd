"""The labeller protocol, and the labellers that need no model. Begin with `protocol`.

protocol    what a labeller returns (Findings), and the micro-goals that follow from exchanges
annotated   reads the items that the log itself carries
exchanges   reads what was asked and given off a session with the pack's patterns
lexicon     the labeller on top of `exchanges`
choice      which labeller `lta data check` uses, and why
"""
