"""HTML in a message is read as its text; what only looks like HTML stays."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from learntoask.core.text.html import text_of_html


@pytest.mark.parametrize(
    ("logged", "text"),
    [
        ("<p>Which day?</p><p>Or <b>night</b> &amp; morning</p>", "Which day?\nOr night & morning"),
        ("How old are you?<br/>Any allergies?", "How old are you?\nAny allergies?"),
        ("<ul><li>one</li><li>two</li></ul>", "one\ntwo"),
        ('<a href="https://x.example/?a=1&b=2">here</a>', "here"),
        ("<style>p {color: red}</style><div>Hello</div>", "Hello"),
        ("I&#39;m &lt;3 it&hellip;", "I'm <3 it…"),
        ("I&amp;#39;m fine", "I'm fine"),
        ("&lt;p&gt;Which day?&lt;/p&gt;", "Which day?"),
        ("<p>ok</p> <med_search>", "ok\n<med_search>"),  # an end marker of a pack
        ("&lt;stop /&gt;", "<stop />"),
    ],
)
def test_html_is_read_as_its_text(logged, text):
    assert text_of_html(logged) == text


@pytest.mark.parametrize(
    "text",
    [
        "Did you close the <div> tag?",
        "a < b and c > d",
        "Fine. <查药>",
        "<stop />",
        "see https://x.example/?a=1&copy=2&lang=en",
        "R&D; Tom & Jerry",
        "<3 <3",
    ],
)
def test_other_texts_are_the_same_object(text):
    assert text_of_html(text) is text


@given(st.text(alphabet="<>/&;#pb rdiv'\"=!-[]CDATA", max_size=60))
def test_no_text_breaks_it(text):
    assert isinstance(text_of_html(text), str)
