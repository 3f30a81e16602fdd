"""All stores, in a folder and in MinIO: readers find complete results or none."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import pytest
from learntoask.core.errors import StoreError
from learntoask.core.stages.publication import Publication
from learntoask.store import folder as folder_module
from learntoask.store.folder import FolderStore
from learntoask.store.garbage_collection import collect
from learntoask.store.protocol import Publications, Store, StoredItem
from learntoask.store.s3 import store as s3_module
from learntoask.store.s3.transfer import PART_BYTES
from worlds.minio import MinioServer, minio_server

KEY = "a" * 64
OTHER_KEY = "b" * 64


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MinioServer]:
    with minio_server(tmp_path_factory.mktemp("minio")) as running:
        yield running


@dataclass(frozen=True)
class World:
    """A store, with functions that write and remove without its knowledge. Places are paths or keys below its root."""

    store: Store
    again: Callable[[], Store]
    write: Callable[[str, bytes], None]
    remove: Callable[[str], None]

    def blob(self) -> str:
        """Return the place of the only blob."""
        digest = next(item.name for item in self.store.items() if item.kind == "blob")
        return f"blobs/{digest[:2]}/{digest}"

    def names(self, kind: str) -> list[str]:
        return [item.name for item in self.store.items() if item.kind == kind]


@pytest.fixture(params=["folder", "minio"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> World:
    if request.param == "folder":
        return _folder_world(tmp_path / "store")
    server: MinioServer = request.getfixturevalue("server")
    server.reset(tmp_path.name)
    client = server.client()
    return World(
        store=server.store(),
        again=server.store,
        write=lambda place, content: client.put_object(
            "lta", f"{server.team}/{place}", BytesIO(content), len(content)
        ),
        remove=lambda place: client.remove_object("lta", f"{server.team}/{place}"),
    )


def _folder_world(root: Path) -> World:
    def write(place: str, content: bytes) -> None:
        (root / place).unlink(missing_ok=True)
        (root / place).write_bytes(content)

    return World(
        store=FolderStore(root),
        again=lambda: FolderStore(root),
        write=write,
        remove=lambda place: (root / place).unlink(),
    )


def _publish(store: Store, folder: Path, *, key: str = KEY, text: str = "weights") -> Publication:
    source = folder / f"{text}.bin"
    source.write_text(text)
    return store.publish(Publication(stage="sft", key=key, files=(store.put(source, path="model.bin"),)))


def _content(store: Store, publication: Publication, folder: Path) -> str:
    store.fetch(publication.files[0], folder / "copy" / "model.bin")
    return (folder / "copy" / "model.bin").read_text()


def test_what_is_published_comes_back_whole(world: World, tmp_path: Path) -> None:
    publication = _publish(world.store, tmp_path)
    assert world.again().find(KEY) == publication
    assert _content(world.again(), publication, tmp_path) == "weights"
    assert (tmp_path / "copy" / "model.bin").stat().st_mode & 0o222 == 0
    assert list(world.store.publications()) == [publication]
    assert world.store.find(OTHER_KEY) is None


@pytest.mark.parametrize("size", [0, 1, PART_BYTES, PART_BYTES + 1, 3 * PART_BYTES - 1])
def test_files_of_every_size_come_back_as_they_were(world: World, tmp_path: Path, size: int) -> None:
    content = os.urandom(size)
    (tmp_path / "file").write_bytes(content)
    file = world.store.put(tmp_path / "file", path="file")
    assert file.size == size
    world.again().fetch(file, tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == content


def test_equal_content_is_kept_once_and_two_runs_share_a_store(world: World, tmp_path: Path) -> None:
    mine = _publish(world.store, tmp_path, key=KEY)
    yours = _publish(world.again(), tmp_path, key=OTHER_KEY)
    assert len(world.names("blob")) == 1
    assert {publication.key for publication in world.store.publications()} == {mine.key, yours.key}


def test_a_publication_that_lacks_a_blob_counts_as_absent(world: World, tmp_path: Path) -> None:
    publication = _publish(world.store, tmp_path)
    world.remove(world.blob())
    assert world.store.find(KEY) is None
    assert list(world.store.publications()) == []
    with pytest.raises(StoreError, match=r"model\.bin is missing|model\.bin .* is missing"):
        _content(world.store, publication, tmp_path)
    assert _publish(world.store, tmp_path) == publication
    assert world.store.find(KEY) == publication


def test_a_cut_off_blob_counts_as_absent_and_is_sent_again(world: World, tmp_path: Path) -> None:
    publication = _publish(world.store, tmp_path)
    world.write(world.blob(), b"weig")
    assert world.store.find(KEY) is None
    _publish(world.store, tmp_path)
    assert _content(world.store, publication, tmp_path) == "weights"


@pytest.mark.parametrize("damaged", [b"", b'{"stage": "sft", "ke', b"\xff\x00"])
def test_a_damaged_manifest_counts_as_absent_and_is_replaced(
    world: World, tmp_path: Path, damaged: bytes
) -> None:
    publication = _publish(world.store, tmp_path)
    world.write(f"published/{KEY[:2]}/{KEY}.json", damaged)
    assert world.store.find(KEY) is None
    _publish(world.store, tmp_path)
    assert world.store.find(KEY) == publication


def test_corrupt_content_is_never_handed_out_and_is_made_again(world: World, tmp_path: Path) -> None:
    publication = _publish(world.store, tmp_path)
    world.write(world.blob(), b"WEIGHTS")  # the same size with other content
    with pytest.raises(StoreError, match="corrupt"):
        _content(world.store, publication, tmp_path)
    assert not (tmp_path / "copy" / "model.bin").exists()
    assert [name for name in world.names("leftover") if name.endswith(".corrupt")]
    assert world.store.find(KEY) is None
    _publish(world.store, tmp_path)
    assert _content(world.store, publication, tmp_path) == "weights"


def test_the_first_whole_publication_of_a_key_stays(world: World, tmp_path: Path) -> None:
    """A stage may compute another output the second time, but readers of the first output must find it again."""
    first = _publish(world.store, tmp_path, text="first")
    assert _publish(world.again(), tmp_path, text="second") == first
    assert world.store.find(KEY) == first
    assert _content(world.store, first, tmp_path) == "first"


def test_of_concurrent_publishers_one_whole_result_stands_for_all(world: World, tmp_path: Path) -> None:
    def publisher(number: int) -> Publication:
        return _publish(world.again(), tmp_path, text=f"result {number}")

    with ThreadPoolExecutor(8) as pool:
        standing = list(pool.map(publisher, range(8)))
    assert len({publication.output for publication in standing}) == 1
    assert world.store.find(KEY) == standing[0]
    assert _content(world.store, standing[0], tmp_path).startswith("result ")


def test_concurrent_publishers_of_one_large_file_do_not_disturb_each_other(
    world: World, tmp_path: Path
) -> None:
    (tmp_path / "file").write_bytes(os.urandom(3 * PART_BYTES + 5))
    with ThreadPoolExecutor(3) as pool:
        files = list(pool.map(lambda _: world.again().put(tmp_path / "file", path="file"), range(3)))
    assert len(set(files)) == 1
    world.store.fetch(files[0], tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == (tmp_path / "file").read_bytes()


@pytest.mark.parametrize("size", [100, PART_BYTES + 100])
def test_a_file_that_changes_while_it_is_stored_is_not_stored(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    source = tmp_path / "file"
    source.write_bytes(bytes(size))

    def digest_then_write(path: Path) -> str:
        digest = file_digest(path)
        source.write_bytes(b"x" * size)
        return digest

    file_digest = folder_module.file_digest
    monkeypatch.setattr(folder_module, "file_digest", digest_then_write)
    monkeypatch.setattr(s3_module, "file_digest", digest_then_write)
    with pytest.raises(StoreError, match="written to while"):
        world.store.put(source, path="file")
    assert world.names("blob") == []


def test_publications_are_found_again_when_they_appear_later(world: World, tmp_path: Path) -> None:
    published = Publications(world.store)
    assert published.get(KEY) is None
    publication = _publish(world.again(), tmp_path)
    assert published.get(KEY) == publication
    assert list(published) == [KEY]
    assert len(published) == 1


class Later:
    """A later garbage collection, for which all present items were last used before its grace period."""

    def __init__(self) -> None:
        self.unused_since = time.time() + 60

    def collect(self, world: World, **options: object) -> list[tuple[str, str]]:
        options = {"keep": None, "dry_run": False, **options}
        removed: tuple[StoredItem, ...] = collect(
            world.again(), unused_since=self.unused_since, **options
        ).removed  # type: ignore[arg-type]
        return [(item.kind, item.name) for item in removed]


def test_collection_removes_unreferenced_blobs_after_a_dry_run_said_so(world: World, tmp_path: Path) -> None:
    publication = _publish(world.store, tmp_path)
    (tmp_path / "lost").write_text("of a publisher who was killed")
    lost = world.store.put(tmp_path / "lost", path="lost")
    assert Later().collect(world, dry_run=True) == [("blob", lost.digest)]
    assert lost.digest in world.names("blob")
    assert Later().collect(world) == [("blob", lost.digest)]
    assert world.names("blob") == [publication.files[0].digest]
    assert world.store.find(KEY) == publication
    assert Later().collect(world) == []


def test_collection_spares_what_was_just_stored_or_just_asked_for(world: World, tmp_path: Path) -> None:
    (tmp_path / "lost").write_text("about to be published")
    world.store.put(tmp_path / "lost", path="lost")
    time.sleep(1.1)  # times of objects are in whole seconds
    since = time.time()
    assert collect(world.store, unused_since=since - 3600, keep=None, dry_run=False).removed == ()
    world.again().put(tmp_path / "lost", path="lost")  # another publisher finds the blob and sends nothing
    assert collect(world.store, unused_since=since - 0.05, keep=None, dry_run=False).removed == ()
    assert len(world.names("blob")) == 1


def test_what_was_used_since_it_was_listed_is_not_removed(world: World, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("used again")
    world.store.put(tmp_path / "file", path="file")
    listed = next(item for item in world.store.items() if item.kind == "blob")
    time.sleep(1.1)
    since = time.time()
    world.store.put(tmp_path / "file", path="file")
    assert world.store.remove(listed, unused_since=since - 0.05) is False
    assert world.store.remove(listed, unused_since=since + 60) is True
    assert world.store.remove(listed, unused_since=since + 60) is False


def test_published_stages_go_only_when_the_kept_ones_are_named(world: World, tmp_path: Path) -> None:
    kept = _publish(world.store, tmp_path, key=KEY, text="kept")
    gone = _publish(world.store, tmp_path, key=OTHER_KEY, text="gone")
    assert Later().collect(world) == []
    assert Later().collect(world, keep={KEY}) == [
        ("publication", OTHER_KEY),
        ("blob", gone.files[0].digest),
    ]
    assert world.store.find(KEY) == kept
    assert world.store.find(OTHER_KEY) is None
