"""Regular expressions from examples.

tokens    pieces of a text, and the expression that finds each
mining    the fewest pieces that find the wanted texts and hardly any other
fields    the patterns of all fields in all tasks, measured on sessions that they were not made from
answers   patterns and values of the answers
"""
