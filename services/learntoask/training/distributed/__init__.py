"""Several workers on one training run, each a process with the whole model or, with ZeRO, its share of it.

process_group    Workers: share, all_reduce, all_gather, broadcast, barrier
launch           run_on_workers: what the stages call
worker           the process that launch starts outside a cluster
"""
