"""Read a log file without a pack.

sample     a bounded sample of the lines, the same for the same file
roles      which role asks and which one answers
language   the languages of the sessions
sessions   the lines of the sample as sessions, by the log format
metadata   the keys of sessions whose values could name a task
"""
