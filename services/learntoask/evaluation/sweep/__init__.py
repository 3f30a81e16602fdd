"""The report of a sweep, which compares the evaluations of several runs.

report  the models of the sweep's report.json, made from the reports of its runs, and its terminal table
seeds   what runs that differ only in their seed say together
html    renders the sweep's page from sweep.html.j2
"""
