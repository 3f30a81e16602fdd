"""A store in a bucket of an S3 service. Begin with `store`.

store         the Store;  layout: the keys of its objects
transfer      upload and download of large files in parts
inventory     listing and removal, for the garbage collection
bucket        all requests to the service, with retry and failures
client        the minio client, with endpoint (host and region) and credentials
identity      keys that a cloud gives to a pod or a machine
"""
