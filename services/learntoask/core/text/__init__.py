"""Rules for text in any script, the same for labelling, graders, training and serving.

characters  clean a text (invisible characters, widths, spaces), and its plain form for comparisons
html        the text of a message that an export wrote as HTML
words       words and stems, also of scripts that do not put spaces between words
patterns    regular expressions of packs that find the same in every script, with a bound on the time
sentences   question marks, sentences and clauses
"""
