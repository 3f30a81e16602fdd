"""Renders the parts of pod templates that runs and endpoints share, as plain dicts.

pod_template   a pod template within the restricted level of Pod Security
volumes        what pods mount, and where
tracing        variables by which a pod sends traces
store          variables and mounts by which a pod reaches the store
security       security contexts of pods and containers
override       what people set about pods (`PodTemplate`), merged into a template
"""
