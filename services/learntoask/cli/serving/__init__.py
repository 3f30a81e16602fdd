"""The commands that run servers, and the one that talks to them.

    flags         flags of a server's address, TLS and token, which the three servers share
    policy        a run, a publication or a model folder -> the configuration of a policy server
    serve         `lta serve`: a policy
    gateway       `lta gateway`: one address in front of several policy servers
    grader        `lta grader`: the graders of a run
    chat          `lta chat`: a conversation in the terminal (conversation has its loop)

The servers are in `learntoask.serving` and `learntoask.grader_service`.
"""
