"""The gateway: one address for a policy that answers through any of its servers, and still answers without them.

    Decide, Converse ──▶ service ──▶ client ──▶ routing: which backend? ──▶ backends: channels, health ──▶ stream
                            │           ◄── failures: whose fault is a failed attempt? ◄──┘
                            ├─▶ fallback: the pack's question if no server answers
                            └─▶ records: conversations in files, sent to a bucket

Begin with `service` for what a call does and with `process` for how the parts are connected.

    process    GatewayServer: the process of `lta gateway`
    service    AskService of the gateway: one request to the servers for each answer
    client     asks one server after the other within the caller's deadline
    routing    pure decisions: the server of a conversation, ejection after failures
    failures   what the status code of a failed attempt means
    backends   the known servers, their channels and their health
    stream     the calls to one server: in a shared stream, or each on its own
    resolver   names of servers to addresses
    operator_link  what gateway and operator tell each other about servers
    fallback   answers without a server
    records    conversations as files, sent to a bucket
    config     settings
    metrics    Prometheus metrics
"""
