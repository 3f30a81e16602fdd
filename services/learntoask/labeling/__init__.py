"""From raw logs to labelled decision points (docs/method.md). Begin with `stage` and follow `samples.make_samples`.

    logs.jsonl ──▶ logs: parse, find decision points, split ──▶ sessions.jsonl                    (stage prepare)
    sessions.jsonl ──▶ labellers or llm ──▶ samples ──▶ labelled.jsonl                           (stage label)

    logs/        from the bytes of a log file to validated sessions; `logs.stage` is the stage prepare
    labellers/   the labeller protocol and the two labellers without a model: `annotated` and `lexicon`
    llm/         the labeller `llm`: language models find the fields, and every finding is checked against the log
    samples      from a labeller's findings to the samples of a session
    counts       the numbers in the stage's summary
    stage        the stage label
    merge        one output of the stage label from the shards of several pods
    check        `lta data check`: a dry run of both stages that reports what a run would make of a log;
                 problems: its list of faults;  answer_lengths: questions that are too long for a policy;
                 unmatched: questions that no pattern matches;
                 alike_sessions: large clusters of near-duplicates

Both stages write what they refuse to quarantine.jsonl, with its line number, a reason and a remedy.
"""
