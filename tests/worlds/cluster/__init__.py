"""A throw-away Kubernetes cluster without machines, and what tests do with it.

cluster            a cluster as tests use it: requests, kubectl, namespaces, our definitions
control_plane      etcd, API server, controller manager and scheduler as processes on loopback
certificates       their certificate authority
processes          start, find and stop processes safely
toolchain          paths of the commands that `make cluster-tools` builds
throw_away         `make cluster-up` and `make cluster-down`
fake_node, kwok/   a node whose pods kwok simulates
pod_runner         a node that runs pods as processes, with pod_place, pod_logs and pod_site
operator_process   the operator as a process, and its requests in the audit log
applied_manifests  manifests, and the API server's answers to them
runs               runs in a namespace: apply, edit, wait
helm               the chart, rendered and installed
"""
