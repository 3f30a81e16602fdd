"""A small typed client of a policy server.

    with Client("localhost:50051") as client:
        decision = client.decide([user("It hurts since Monday.")])
        with client.converse() as conversation:
            print(conversation.say("It hurts since Monday.").question)

`task="repair"` names the task where the pack has several; `Client.server_info` lists them.

`AsyncClient` is the same with `await`. With several addresses, a call that one server cannot take goes to the next, and
a conversation is replayed there. Begin with `asynchronous`, which does the work.

    types         arguments and results
    asynchronous  AsyncClient: deadlines, retries, conversations
    blocking      Client: the same on an event loop in a thread
    assignments   to which policy of a rollout each conversation belongs
    channel_pool  one channel for each address
    wire          plain records to protobuf and back
"""

from learntoask.client.asynchronous import AsyncClient, AsyncConversation
from learntoask.client.blocking import Client, Conversation
from learntoask.client.types import (
    Assignment,
    CallFailed,
    Decision,
    ServerInfo,
    Usage,
    assistant,
    user,
)
from learntoask.core.assessment import MissingField
from learntoask.rpc.channels import Tls

__all__ = [
    "Assignment",
    "AsyncClient",
    "AsyncConversation",
    "CallFailed",
    "Client",
    "Conversation",
    "Decision",
    "MissingField",
    "ServerInfo",
    "Tls",
    "Usage",
    "assistant",
    "user",
]
