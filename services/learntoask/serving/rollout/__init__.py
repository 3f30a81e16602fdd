"""What a gateway does for a rollout: it keeps conversations at their arm, copies them, and counts what happens in them.

    traffic     who gets the canary now, as the strategy and the state of the rollout say
    progress    what has happened in a conversation, and how it travels with it
    events      harmful events that the messages of a conversation show
    counts      what the gateway has counted of a rollout
    ledger      the arm of each conversation, counts of both arms
    outcomes    outcomes that callers report, each counted where its conversation began
    shadow      copies of requests to the canary, in the background
    pairs       answers of both policies that differ, as questions to people, and what people say
    controller  follows the rollout in a file, or decides it where there is no operator
    file        that file, and the orders next to it
    metrics     Prometheus metrics of the rollout
    replay      verdicts computed again from records

The gateway's `service` asks the ledger for each request. Verdicts are those of `learntoask.rollout`.
"""
