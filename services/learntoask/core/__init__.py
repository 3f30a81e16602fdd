"""Plain data and pure decisions, shared by all other packages. Imports neither torch nor grpc nor kubernetes.

Begin with `records`, `manifest.run` and `stages.planner`.

    records         sessions, decision points and labels: what stages read and write;  json_lines: files of them
    manifest/       the manifests as pydantic models
    pack            the domain pack, with default_prompts;  templates: rendering of its prompts
    prompt, answer  from a conversation to the policy's prompt; from its answer to a decision
    assessment      what the policy says is still missing, written in a tag and read again
    text/           rules for text in any script: cleaning, words, sentences, patterns
    languages/      phrases of single languages: requests without a question mark, refusals, non-answers
    stages/         the graph of stages, their keys, and the planner that decides what runs next
    status/         the status of LearnToAskRun and AskEndpoint
    crd/            their CustomResourceDefinitions
    pod_contract    what operator and pods tell each other
    deepspeed       the DeepSpeed configuration

    errors                        errors that a user can act on
    documents/                    YAML to models, with every fault named
    digest                        digests of values and of model folders
    backoff, json_object          delays between retries; the type of undescribed JSON objects
    intervals                     confidence intervals of shares
    process/                      how a process ended; a process that ends with its parent
    network/                      which requests go through a proxy; how host and port are written
"""
