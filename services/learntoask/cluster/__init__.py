"""The user's side of a cluster: what `lta apply`, `logs`, `rerun`, `rollback`, `try` and `status --cluster` do.

    manifest      paths of this machine in a manifest -> addresses of uploaded files
    upload        files -> a store, under the digest of their content
    requests      suspend, rerun, retry as patches of a LearnToAskRun
    rollback      an earlier policy as a patch of an AskEndpoint
    rollout       the rollout of an AskEndpoint, and the patches that steer it
    display       the status of a run, for a table or as JSON
    logs          the output of the pods of a run
    smoke_test    a small run, from `apply` to one answered question

Begin with `manifest`; the commands are in `learntoask.cli.cluster`.
"""
