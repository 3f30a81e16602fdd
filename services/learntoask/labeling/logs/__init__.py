"""From the bytes of a log file to validated sessions with decision points; `stage` is the stage prepare.

lines ──▶ parsing ──▶ sessions (markers stripped, expert turns found; `endings` finds the stop)      = reader
reader ──▶ duplicates, session_index ──▶ split ──▶ sessions.jsonl                                    = stage

lines           read and write files of lines, one line at a time
parsing         check one line against the log format
sessions        find the decision points of one logged session
endings         decide how a session ended and in which message the expert acts
patterns        search a text for any of the pack's regular expressions
reader          turn each line of a file into a session or a rejection
duplicates      cluster near-duplicate sessions by MinHash
shared_text     tell copies of one session from sessions that share a greeting or a menu
session_index   the few bytes about every session that are needed at once
split           assign clusters of sessions to train, validation and test
quarantine      the reasons for a rejection and the file that lists them
stage           the stage prepare
"""
