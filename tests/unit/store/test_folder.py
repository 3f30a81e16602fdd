"""A store in a folder: after any failure, readers find complete results or none."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest
from learntoask.core.errors import InputError, StoreError
from learntoask.core.stages.publication import Publication
from learntoask.store.address import StoreAddress
from learntoask.store.factory import open_store
from learntoask.store.folder import FolderStore
from learntoask.store.protocol import Publications


@pytest.fixture
def store(tmp_path: Path) -> FolderStore:
    return FolderStore(tmp_path / "store")


def _publish(store: FolderStore, folder: Path, *, key: str = "k" * 64, text: str = "weights") -> Publication:
    source = folder / "model.bin"
    source.write_text(text)
    publication = Publication(stage="sft", key=key, files=(store.put(source, path="model.bin"),))
    store.publish(publication)
    return publication


def test_what_is_published_comes_back_whole(store: FolderStore, tmp_path: Path) -> None:
    publication = _publish(store, tmp_path)
    assert store.find(publication.key) == publication
    store.fetch(publication.files[0], tmp_path / "copy" / "model.bin")
    assert (tmp_path / "copy" / "model.bin").read_text() == "weights"
    assert list(store.publications()) == [publication]


def test_equal_content_is_kept_once(store: FolderStore, tmp_path: Path) -> None:
    _publish(store, tmp_path, key="a" * 64)
    _publish(store, tmp_path, key="b" * 64)
    assert len(list(store.root.glob("blobs/*/*"))) == 1


def test_a_publication_that_lacks_a_blob_counts_as_absent(store: FolderStore, tmp_path: Path) -> None:
    publication = _publish(store, tmp_path)
    blob = next(store.root.glob("blobs/*/*"))
    blob.unlink()
    assert store.find(publication.key) is None
    _publish(store, tmp_path)
    assert store.find(publication.key) == publication


def test_a_cut_off_blob_counts_as_absent(store: FolderStore, tmp_path: Path) -> None:
    publication = _publish(store, tmp_path)
    blob = next(store.root.glob("blobs/*/*"))
    blob.chmod(0o644)
    blob.write_text("weig")
    assert store.find(publication.key) is None


def test_a_damaged_manifest_counts_as_absent(store: FolderStore, tmp_path: Path) -> None:
    publication = _publish(store, tmp_path)
    next(store.root.glob("published/*/*.json")).write_text('{"stage": "sft", "ke')
    assert store.find(publication.key) is None


def test_corrupt_content_is_never_handed_out_and_is_made_again(store: FolderStore, tmp_path: Path) -> None:
    publication = _publish(store, tmp_path)
    blob = next(store.root.glob("blobs/*/*"))
    blob.chmod(0o644)
    blob.write_text("WEIGHTS")  # the same size with other content
    with pytest.raises(StoreError, match="corrupt"):
        store.fetch(publication.files[0], tmp_path / "copy")
    assert store.find(publication.key) is None
    _publish(store, tmp_path)
    store.fetch(publication.files[0], tmp_path / "copy")
    assert (tmp_path / "copy").read_text() == "weights"


def test_a_full_disk_is_named_and_leaves_nothing_behind(
    store: FolderStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(StoreError, match="disk is full") as caught:
        _publish(store, tmp_path)
    assert caught.value.reason == "DiskFull"
    assert not [path for path in store.root.rglob("*") if path.is_file()]


def test_what_a_killed_writer_left_is_not_read(store: FolderStore, tmp_path: Path) -> None:
    publication = _publish(store, tmp_path)
    manifest = next(store.root.glob("published/*/*.json"))
    manifest.rename(manifest.with_suffix(".json.0123.partial"))
    assert store.find(publication.key) is None
    assert list(store.publications()) == []


def test_publications_are_found_again_when_they_appear_later(store: FolderStore, tmp_path: Path) -> None:
    published = Publications(store)
    assert published.get("k" * 64) is None
    publication = _publish(store, tmp_path)
    assert published.get("k" * 64) == publication
    assert list(published) == ["k" * 64]


def test_a_file_is_no_store(tmp_path: Path) -> None:
    (tmp_path / "logs.jsonl").write_text("{}")
    with pytest.raises(InputError, match=r"logs\.jsonl is a file; name a folder"):
        open_store(StoreAddress(uri=str(tmp_path / "logs.jsonl")))
