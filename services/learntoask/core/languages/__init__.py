"""Phrases of single languages: requests without a question mark, refusals, and replies that answer nothing.

phrases   what a language's phrases are for, and which of them a pack uses
english   English
latin     Spanish, Portuguese, French, German, Indonesian
others    Chinese, Japanese, Korean, Thai, Hindi, Bengali, Urdu, Arabic, Russian
"""
