"""From clusters and patterns to the parts of a suggestion.

found    what the steps found so far
fields   the fields with their evidence, and what is not covered
tasks    the tasks with their fields, and kinds of sessions
"""
