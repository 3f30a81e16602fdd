"""The status that the operator writes into its objects.

conditions   types and reasons of conditions, and how a condition is set
run          status of a LearnToAskRun
endpoint     status of an AskEndpoint
rollout      state of a rollout in steps: counts of both arms, evidence, verdict
"""
