"""Scripts of clients in pods: plain Python with the client of the image."""

from __future__ import annotations

from textwrap import dedent

LOOK = dedent(
    """
    import os, socket, ssl
    address = socket.gethostbyname("kubernetes.default.svc")
    with socket.create_connection(("kubernetes.default.svc", 443), timeout=10) as plain:
        trust = ssl.create_default_context()
        trust.check_hostname, trust.verify_mode = False, ssl.CERT_NONE
        trust.wrap_socket(plain).close()
    import learntoask_operator.process
    try:
        open("/opt/lta/written", "w")
    except OSError:
        print(address, os.getuid())
    """
)
"""Connects to the API server by name, imports the operator, and checks that its code cannot be changed."""

ASK = dedent(
    """
    import json, sys
    from learntoask.client import Client
    with Client("{address}", timeout=60) as client, client.converse(task="") as conversation:
        decision = conversation.say("hi, I have had a sore throat")
    said = decision.message and decision.message.content
    print(json.dumps({{"origin": decision.origin, "stop": decision.stop, "said": said}}))
    """
)
"""Asks one question in a conversation. `address` has to be filled in."""

TRAFFIC = dedent(
    """
    import json, os, signal, threading, time
    from concurrent.futures import ThreadPoolExecutor
    from learntoask.client import CallFailed, Client, user
    over = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: over.set())
    took, failed, free = [], [], threading.Semaphore({most})
    def ask(number):
        began = time.time()
        try:
            decision = client.decide([user("hi, I have had a sore throat")], conversation_id=str(number))
            took.append((began, time.time() - began, decision.origin))
        except CallFailed as error:
            failed.append((began, str(error)))
        finally:
            free.release()
    with Client("{address}", timeout=60) as client, ThreadPoolExecutor({most}) as pool:
        number = 0
        while not over.wait(1 / {rate}) and not os.path.exists("/tmp/over"):
            if free.acquire(blocking=False):  # a busy machine answers fewer, and no queue grows here
                number += 1
                pool.submit(ask, number)
    print(json.dumps({{"took": took, "failed": failed}}))
    """
)
"""Asks up to `rate` questions a second, each in a new conversation and `most` at a time, until /tmp/over exists."""

END = "open('/tmp/over', 'w')"
