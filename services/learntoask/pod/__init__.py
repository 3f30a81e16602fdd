"""One attempt of one stage in a pod: between the operator's contract and the stage process of `runner`.

stage         `lta stage`: reads the order, runs the attempt, writes the termination message; begin here
environment   variables and mounted files, parsed once (core.pod_contract has the names)
inputs        domain pack and external files, fetched and compared with the planned digests
store_check   tries the store out, as part of the stage `resolve`
rendezvous    waits until the first of several workers has a name in the cluster's DNS
child         the stage's process: its progress, its output, its exit code
work_upload   copies checkpoints and journals to the store while the stage runs
termination   the termination message: fitted into 4,096 bytes and written
graders       `lta stage --serve-graders`: serves published graders to the other pods of the run
"""
