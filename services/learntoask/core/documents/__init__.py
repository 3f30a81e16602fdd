"""Documents that users write (manifest, pack, sweep): reading, validation, and messages that a person can act on.

input_checks    parse_document: YAML text -> model, or an InputError that lists every fault
yaml_loader     YAML that refuses a key that is given twice
messages        what pydantic found, in the terms of the person who wrote the document
"""
