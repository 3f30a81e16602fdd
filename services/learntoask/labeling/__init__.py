"""From raw logs to labelled decision points (docs/method.md).

    bytes ── lines ──▶ parsing ──▶ sessions, endings ──▶ duplicates, splitting ──▶ sessions.jsonl      (stage prepare)
    sessions.jsonl ──▶ annotated | lexicon (exchanges) ──▶ samples ──▶ labelled.jsonl                  (stage label)

What is refused on the way lies in quarantine.jsonl with its line number, reason and remedy.
"""
