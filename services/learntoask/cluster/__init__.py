"""People's side of a cluster: files uploaded, manifests applied, statuses and logs read."""
