"""Records, manifest, domain pack, prompts and the planner: plain data and pure decisions.

Imports neither torch nor grpc nor kubernetes, so that every process and every test can afford it.
"""
