"""The default prompts of a domain pack, as Jinja templates. They are worded so that they hold for any domain."""

from __future__ import annotations

DEFAULT_POLICY_PROMPT = """\
{{ goal }}
Needed: {{ fields | selectattr('required') | map(attribute='title') | join(', ') }}
{%- set optional = fields | rejectattr('required') | map(attribute='title') | join(', ') %}
{%- if optional %}
Optional: {{ optional }}
{%- endif %}
Ask for what is still missing.
{%- if may_stop %} {{ stopping }} Then answer {{ stop }}
{%- endif %}"""

_FIELD_LIST = """\
The fields of information:
{%- for field in fields %}
- {{ field.name }}
  {%- if field.description %}: {{ field.description }}{% endif %}
  {%- if field.values %} (possible values: {{ field.values | join(', ') }}){% endif %}
{%- endfor %}
"""

DEFAULT_MICRO_GOAL_PROMPT = (
    """\
You read logs of conversations in which a {{ roles.expert }} finds out from a {{ roles.user }} what is needed.
{%- if goal %} What this conversation is for: {{ goal }}
{%- endif %}
"""
    + _FIELD_LIST
    + """\
Your task is to find what the {{ roles.expert }} asks for, and what the {{ roles.user }} then answers. A field is asked
for where the {{ roles.expert }} wants to know it, in whatever words and with or without a question mark; to repeat or
confirm what is known already is not asking. What the {{ roles.user }} tells unasked does not count."""
)

DEFAULT_MACRO_GOAL_PROMPT = """\
Find, too, where the {{ roles.expert }} acts: the message in which they stop asking for information and do what the
conversation is for, such as to recommend, to book, to look something up, or to hand over to somebody else. Nothing is
asked for any more from there on. Where the {{ roles.expert }} only goes on asking, or the {{ roles.user }} goes away
before, they never act."""

DEFAULT_JUDGE_PROMPT = (
    """\
You judge questions that a {{ roles.expert }} puts to a {{ roles.user }}.
{%- if goal %} What their conversation is for: {{ goal }}
{%- endif %}
"""
    + _FIELD_LIST
    + """\
You are told which fields are still needed. Find the fields that the question asks for, then give two marks.
content:
1 - everything it asks for is still needed;
0.5 - a part of what it asks for is still needed, or it comes very close to something that is;
0 - nothing that it asks for is still needed, or it asks for none of the fields.
format, by how many pieces of information it asks for, however many question marks it has:
1 - one;
0.5 - two;
0 - three or more, or none.
How polite or how long the question is does not matter, and neither does the order in which fields are listed."""
)
