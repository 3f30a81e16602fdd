"""The trained policy as a gRPC service (protos/learntoask/v1/ask.proto): it asks the next question or stops.

    request ──▶ service ──▶ wire, input_checks ──▶ decider ──▶ engines: decode ──▶ answer: repair or fall back
                   ├── conversation: the stream of Converse, and draining
                   └── records: conversations as logs for the next training

Begin with `service.decide` and follow it to `decider`; `server` connects the parts.

    process       `lta serve`: loads the policy and runs its server
    server        PolicyServer: connects the parts, reloads the policy on SIGHUP
    config        settings
    conversation  what policy server and gateway share of AskService
    service       AskService of the policy server
    decide_many   many calls of a gateway in one stream
    wire          protobuf requests to contexts
    input_checks  checks of requests
    decider       one decision: queue, deadline, engine, answer
    answer        generated text to a valid answer
    deadlines     many deadlines on one timer
    policy_lock   decisions share the policy, a reload holds it alone
    demo          the pack's demo conversation as a warm-up
    stage         stage `serve` of a run
    published     a policy fetched from the store by its keys
    metrics       Prometheus metrics
    engines/      transformers and vLLM
    records/      logs of served conversations
    gateway/      one address for many policy servers
"""
