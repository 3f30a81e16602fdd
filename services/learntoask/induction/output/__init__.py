"""Write what was found: files that people read and `lta run` uses.

pack_data   the pack as plain data
pack_yaml   pack.yaml, with the evidence for each part in comments
run_yaml    run.yaml, the manifest of a first run
page        suggest.html (suggest.html.j2, suggest.css): the fields as cards, how sessions end, what is not covered
files       all three, into one folder
"""
