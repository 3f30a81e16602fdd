"""What experts ask for.

questions   the questions of all sessions, without small talk and confirmations
clusters    groups of questions that ask for the same field, corrected by what people say
merging     wordings that ask for the same field, merged by texts, replies and what is never asked twice
"""
