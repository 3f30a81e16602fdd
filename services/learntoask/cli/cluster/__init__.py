"""The commands that need a cluster, through the context of the kubeconfig.

    options       flags that these commands share, and the connection to the cluster
    apply         `lta apply`; upload has its uploads, which `lta try` and `lta data push` use too
    runs          `lta logs`, `suspend`, `resume`, `rerun`, `retry`
    rollback      `lta rollback`
    smoke_test    `lta try`
    deleted_runs  what `lta gc --cluster` collects

The work is done in `learntoask.cluster`.
"""
