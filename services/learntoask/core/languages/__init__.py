"""Phrases of single languages: requests without a question mark, refusals, and replies that answer nothing.

phrases       what the phrases of a language are for
pack_phrases  the phrases that a pack uses: its own, or those of its language

english       English
latin         Spanish, Portuguese, French, German, Indonesian
others        Chinese, Japanese, Korean, Thai, Hindi, Bengali, Urdu, Arabic, Russian
"""
