"""Records of served conversations, in the format of logs that training reads.

log          what a record holds, and the files
writer       writes records in the background of an event loop
redaction    changes text before it is written
lines        reads the files back
served_logs  makes logs of them, with the outcomes that were reported
"""
