"""Documents that users write (manifest, pack, sweep): reading, validation, and messages that a person can act on.

text_file       read_document: the text of a file, or an InputError that says what to do
input_checks    parse_document: YAML text -> model, or an InputError that lists every fault
yaml_loader     YAML with the numbers of YAML 1.2, that refuses a key that is given twice
strict_json     parse_json: a value from JSON that other tools have written
positions       the line of a field in a YAML document
messages        what pydantic found, in the terms of the person who wrote the document
"""
