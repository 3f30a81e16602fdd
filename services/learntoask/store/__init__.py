"""The store of published stages: blobs named by the digest of their content, and manifests that are written last.

Begin with `protocol`.

    address              where the store is;  factory: from an address to a Store
    protocol             what a store does
      folder             a store in a folder, with atomic_files
      s3/                a store in a bucket of an S3 service
    unfinished           checkpoints and shards of stages that are not published yet
    download             input files at s3:// addresses
    garbage_collection   which stored items are not needed, and their removal
"""
