"""The `lta` command. It parses flags and prints results; the work is done in the packages below.

    app            `main`: exit codes, signals, messages for mistakes
    commands       every command, with the module that is imported when it runs
    options        flags that several commands share
    run, sweep     runs on this machine; run_table and metrics_table print them
    status, gc     the state of runs; what can be removed from a store
    data, schema   logs before a run; the JSON schema of a manifest
    evaluation     `lta evaluate`, `compare`, `report`
    serving/       servers and `lta chat`
    cluster/       runs and endpoints in a cluster
    pod, stage     what pods and the processes of stages execute

Begin with `commands`.
"""
