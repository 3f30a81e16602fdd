"""What an existing pack misses, as changes of its text.

changes   from a pack and a suggestion to a list of changes: patterns to add and to remove, and new fields
edit      make the changes in the text of the pack and leave everything else, comments included, as it is
"""
