"""A real Kubernetes node on this machine, for the end-to-end test.

requirements  what the machine needs, and what of it is missing
node          containerd, kubelet, kube-proxy, CoreDNS; with network and containers
system        the installed system: helm, kubectl, lta, and clients in pods (clients)
phases        how long each part took
"""
