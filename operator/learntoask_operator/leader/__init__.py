"""Leader election: only the replica that holds the Lease acts.

lease    take, renew and give back one Lease
thread   the same in a separate thread, so that a busy event loop does not delay the renewal
"""
