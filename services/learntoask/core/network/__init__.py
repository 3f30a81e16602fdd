"""What every client and server of this project understands in the same way.

proxy    whether a request goes through a proxy: one rule for the store, gRPC and language models
address  one spelling of host and port, for IPv4, IPv6 and names
"""
