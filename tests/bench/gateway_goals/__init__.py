"""The goals of the gateway and of its rollouts; bench_gateway.py runs them and prints their rows.

processes  policy servers and gateways as processes
cost       goal 8: the gateway against a direct call
pinning    goals 4 and 6: arms stay, shares hold, and a rollback is followed
copies     goal 5: copies cost users nothing
"""
