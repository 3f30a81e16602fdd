"""From raw logs to a domain pack (docs/packs.md): `lta init` and `lta pack suggest`. Begin with `suggest`.

    LOGS ──▶ reading ──▶ fields: questions, clusters ──▶ tasks, patterns, names, ends ──▶ Suggestion      = suggest
    Suggestion ──▶ output: pack.yaml, run.yaml, suggest.html          update: the changes of an existing pack

    from_logs     read a log file, choose an encoder, call `suggest`, refuse logs that no pack can be made from
    suggest       the steps, from sessions to a suggestion
    suggestion    what was found, with the evidence for each part

    reading/      a sample of the file, roles, languages, sessions, keys that could name a task
    fields/       the questions of experts, and clusters of those that ask for the same field
    patterns/     regular expressions for the clusters and for their answers
    tasks         the key that names the task of a session; groups of sessions without one
    ends          markers, acts and hand-overs
    names         names of fields by their words;  model_names: by a language model, where they can be checked

    assembly/     clusters and patterns put together to fields, tasks and evidence
    output/       the three files
    update/       what an existing pack misses

Every step is a function of its arguments, and equal logs give equal bytes.
"""
