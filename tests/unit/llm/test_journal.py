"""A journal of replies that a killed process left."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from learntoask.llm.journal import ReplyJournal
from learntoask.llm.wire import CompletionUsage, Reply

replies = st.dictionaries(
    st.text("0123456789abcdef", min_size=8, max_size=8),
    st.builds(
        Reply,
        content=st.text(),
        finish=st.just("stop"),
        usage=st.builds(CompletionUsage, prompt=st.integers(0, 9)),
    ),
    max_size=6,
)


@settings(deadline=None, max_examples=50)
@given(replies=replies, data=st.data())
def test_a_journal_cut_anywhere_holds_every_whole_line_and_goes_on(
    tmp_path_factory: pytest.TempPathFactory, replies: dict[str, Reply], data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("journal") / "answers.jsonl"
    journal = ReplyJournal(path)
    for asked, reply in replies.items():
        journal.add(asked, reply)
    journal.close()
    whole = path.read_bytes()
    cut = data.draw(st.integers(0, len(whole)))
    path.write_bytes(whole[:cut])
    again = ReplyJournal(path)
    kept = list(replies.items())[: whole[:cut].count(b"\n")]
    assert [(asked, again.find(asked)) for asked, _ in kept] == kept
    assert list(again) == [reply for _, reply in kept]
    for asked, reply in replies.items():
        if again.find(asked) is None:
            again.add(asked, reply)
    again.close()
    assert path.read_bytes() == whole
