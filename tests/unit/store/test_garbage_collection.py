"""Garbage collection: it removes exactly the items that are not needed."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from learntoask.core.stages.publication import Publication, PublishedFile
from learntoask.store.garbage_collection import collectable_items, with_lineage
from learntoask.store.protocol import StoredItem

NAMES = [character * 64 for character in "0123456789abcdef"]
FEW = NAMES[:6]
ITEMS = st.lists(
    st.builds(
        StoredItem,
        kind=st.sampled_from(["blob", "publication", "leftover"]),
        name=st.sampled_from(FEW),
        size=st.just(1),
        used=st.integers(0, 9),
    ),
    unique_by=lambda item: (item.kind, item.name),
    max_size=12,
)


def _publication(key: str, content: str, **inputs: str) -> Publication:
    return Publication(
        stage="sft", key=key, files=(PublishedFile(path="model", digest=content, size=1),), inputs=inputs
    )


@given(
    ITEMS,
    st.dictionaries(st.sampled_from(FEW), st.sets(st.sampled_from(FEW))),
    st.none() | st.sets(st.sampled_from(FEW)),
    st.integers(0, 9),
)
def test_what_is_needed_or_recent_stays(
    items: list[StoredItem], mentions: dict[str, set[str]], keep: set[str] | None, unused_since: int
) -> None:
    manifests = {key: " ".join(f'"{digest}"' for digest in digests) for key, digests in mentions.items()}
    going = collectable_items(items, manifests=manifests, keep=keep, unused_since=unused_since)
    assert all(item.used <= unused_since for item in going)
    gone = {item.name for item in going if item.kind == "publication"}
    assert not gone or (keep is not None and not gone & keep)
    needed = {digest for key, digests in mentions.items() if key not in gone for digest in digests}
    assert not needed & {item.name for item in going if item.kind == "blob"}
    old = [item for item in items if item.used <= unused_since]
    assert {item for item in old if item.kind == "leftover"} <= set(going)
    assert {item for item in old if item.kind == "blob" and item.name not in needed} <= set(going)


def test_publications_go_before_the_blobs_they_mention() -> None:
    items = [
        StoredItem(kind="blob", name=NAMES[1], size=1, used=0),
        StoredItem(kind="publication", name=NAMES[0], size=1, used=0),
    ]
    manifests = {NAMES[0]: _publication(NAMES[0], NAMES[1]).model_dump_json()}
    assert collectable_items(items, manifests=manifests, keep=None, unused_since=1) == []
    going = collectable_items(items, manifests=manifests, keep=set(), unused_since=1)
    assert [item.kind for item in going] == ["publication", "blob"]


def test_a_manifest_that_cannot_be_read_still_protects_its_blobs() -> None:
    blob = StoredItem(kind="blob", name=NAMES[1], size=1, used=0)
    torn = _publication(NAMES[0], NAMES[1]).model_dump_json()[:-20]
    assert collectable_items([blob], manifests={NAMES[0]: torn}, keep=None, unused_since=1) == []


def test_the_lineage_of_what_is_kept_is_kept() -> None:
    base = _publication(NAMES[0], NAMES[10])
    sft = _publication(NAMES[1], NAMES[11], fetch=base.output)
    grpo = _publication(NAMES[2], NAMES[12], sft=sft.output)
    other = _publication(NAMES[3], NAMES[13], fetch=base.output)
    known = [base, sft, grpo, other]
    assert with_lineage({grpo.key}, known) == {base.key, sft.key, grpo.key}
    assert with_lineage({other.key}, known) == {base.key, other.key}
    assert with_lineage(set(), known) == set()
