"""The bullets that a prompt may get. They hold for any domain and say nothing about the logs."""

from __future__ import annotations

ASKING = (
    "A message that repeats or confirms what is known already asks for nothing.",
    "A message can ask for several fields at once; list each of them.",
    "A request counts as asking, with or without a question mark.",
    "Small talk, thanks and offers of further help ask for none of the fields.",
    "List a field only if its value would answer the message, not because the message mentions it.",
    "If a message names possible values of a field to choose from, it asks for that field.",
)
"""For prompts that say what counts as asking for a field."""
ACTING = (
    "A message that still asks for information is not where they act, even if it says what they will do.",
    "An offer that has yet to be accepted is not acting.",
    "Small talk, thanks and a farewell are not acting.",
    "Where they say that they do now what the conversation is for, they act, even if its result comes later.",
    "To hand over to another person counts as acting.",
)
"""For prompts that say where the expert acts."""
