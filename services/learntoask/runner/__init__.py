"""One attempt of one stage, in a process of its own, as `lta run` and a pod start it.

    inputs         addresses of a manifest -> files on this machine, and their digests
    run_folder     the state and the work folders of a run (home: where all runs are)
    request        what a stage's process is asked to compute
    child          the process as its parent sees it
    process        its main function: a request -> progress, result or failure
    attempt        look up the key, bring the inputs, compute, publish
    publishing     call the stage's function and publish its files
    shards         a stage that several pods share
    materialise    published files -> a folder
    stage_trace    the trace of a stage
    extras         which extra installs a missing package

Begin with `process`, then `attempt`.
"""
