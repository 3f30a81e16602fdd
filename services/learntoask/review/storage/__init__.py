"""Where a queue's items and events lie: in a folder, or as objects in a bucket. Begin with `protocol`."""
