"""The report of an evaluation. Begin with `assemble` for report.json and with `html` for report.html.

assemble         puts figures, curves, misses and notes into one report
curves           reads the curves of the training logs
misses           selects the worst decisions
html             renders the page from report.html.j2 and report.css
plots            draws the charts of the page as SVG
agreement_table  arranges the graders' agreement as a table
people_table     arranges what people answered and what was corrected by it
published        holds figures of the literature for orientation
"""
