"""Compare the S3 store with fput_object and fget_object of the minio client (MB/s, MinIO server on this machine).

    make minio && python tests/bench/bench_store.py            # a 500 MB file, three rounds
    python tests/bench/bench_store.py --megabytes 100

In every round, store and client take turns to put a file and fetch it back. The file is random, so the store does not
have it already. The first round is not counted. The table shows medians and their ratio. The store also computes the
digest that names the blob before it sends the file, and verifies the file that it fetches; `verified` compares with
fget_object followed by a SHA-256 of the file. CPU s is processor time of this process, which is more reliable on a busy
machine.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from learntoask.core.stages.publication import PublishedFile
from learntoask.store.atomic_files import file_digest
from worlds.minio import MinioServer, minio_server

_CHUNK = 1 << 20


def random_file(path: Path, megabytes: int) -> None:
    with path.open("wb") as out:
        for _ in range(megabytes * 1_000_000 // _CHUNK + 1):
            out.write(os.urandom(_CHUNK))
        out.truncate(megabytes * 1_000_000)


def measure(work: Callable[[], object]) -> tuple[float, float]:
    """Return the seconds of wall time and of processor time that `work` takes."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - wall, time.process_time() - cpu


def one_round(server: MinioServer, folder: Path, *, number: int) -> dict[str, tuple[float, float]]:
    """Return (wall, CPU) seconds by operation; store and client swap their order from round to round."""
    store, client = server.store(), server.client()
    source, target, plain = folder / "source", folder / "target", f"plain-{number}"
    files: list[PublishedFile] = []
    work: dict[str, Callable[[], object]] = {
        "put": lambda: files.append(store.put(source, path="checkpoint")),
        "fput": lambda: client.fput_object("lta", plain, str(source)),
        "fetch": lambda: store.fetch(files[0], target),
        "fget": lambda: client.fget_object("lta", plain, str(target)),
        "fget+sha256": lambda: (client.fget_object("lta", plain, str(target)), file_digest(target)),
    }
    seconds = {}
    order = ["put", "fput", "fetch", "fget", "fget+sha256"]
    for name in order if number % 2 else ["fput", "put", "fget+sha256", "fget", "fetch"]:
        target.unlink(missing_ok=True)
        seconds[name] = measure(work[name])
    client.remove_object("lta", plain)
    for item in list(store.items()):
        store.remove(item, unused_since=time.time() + 60)
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    rounds = []
    with tempfile.TemporaryDirectory() as name, minio_server(Path(name) / "minio", processors=None) as server:
        for number in range(arguments.rounds + 1):
            random_file(Path(name) / "source", arguments.megabytes)
            rounds.append(one_round(server, Path(name), number=number))
    del rounds[0]  # the first round is slower because memory pages are allocated
    print(f"{arguments.megabytes} MB, medians of {arguments.rounds}")
    print(f"{'':10}{'ours MB/s':>12}{'minio MB/s':>12}{'ratio':>8}{'ours CPU s':>12}{'minio CPU s':>12}")
    for label, ours, theirs in (
        ("put", "put", "fput"),
        ("fetch", "fetch", "fget"),
        ("verified", "fetch", "fget+sha256"),
    ):
        walls = [statistics.median(seconds[name][0] for seconds in rounds) for name in (ours, theirs)]
        used = [statistics.median(seconds[name][1] for seconds in rounds) for name in (ours, theirs)]
        rates = [arguments.megabytes / wall for wall in walls]
        ratio = rates[0] / rates[1]
        print(f"{label:10}{rates[0]:12.0f}{rates[1]:12.0f}{ratio:8.2f}{used[0]:12.2f}{used[1]:12.2f}")


if __name__ == "__main__":
    main()
