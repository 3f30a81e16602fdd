"""Where published stages lie: blobs under the digest of their content, and manifests that are written last."""
