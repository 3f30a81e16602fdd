"""The objects of a run, as plain dicts: pure functions of the run, the settings and the plan.

jobs        the Job of one attempt, and the headless Service by which its workers find each other
services    grader service and judge, which exist only while stages call them
pods        pod templates of stages and services
config_map  the resolved manifest that pods read
endpoint    the AskEndpoint that gets the policy
artefacts   the list of what may be collected once the run is gone
"""
