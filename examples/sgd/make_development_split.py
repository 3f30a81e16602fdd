"""Split the training logs of SGD, so that settings can be chosen without the test sessions.

    python examples/sgd/make_development_split.py [--data ../shared/data/sgd] [--out examples/sgd/development]

`train.jsonl` gets the 499 training sessions of 15 services, and `train-all.jsonl` also those of the 15 services from
the further training logs (`train-more.jsonl`), 1,775 in all. `test.jsonl` gets the 101 sessions of the other four
services, which training then never sees, and 100 further sessions of the 15 services. For policies that are measured on
SGD's own test sessions `all.jsonl` gets all 2,290 training sessions, and `balanced.jsonl` at most 70 of each service,
1,030 in all. The choice is the same every time. The files are not committed (the data is CC BY-SA 4.0).
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
DATA = Path(os.environ.get("LTA_DATA", HERE.parents[2] / "shared/data")) / "sgd"

UNSEEN = frozenset({"RentalCars_2", "Homes_1", "Services_2", "Banks_1"})
"""Services that training does not see: two of domains that it sees (cars, doctors), two of domains that it does not."""
SEEN_SESSIONS = 100
MOST_OF_A_SERVICE = 70


def service(line: str) -> str:
    return str(json.loads(line)["annotations"]["service"])


def split(train: list[str], more: list[str]) -> dict[str, list[str]]:
    """Return the lines of each file that is written."""
    known = [line for line in train if service(line) not in UNSEEN]
    unseen = [line for line in train if service(line) in UNSEEN]
    seen = [line for line in more if service(line) not in UNSEEN]
    seen.sort(key=digest)
    return {
        "train.jsonl": known,
        "train-all.jsonl": known + seen[SEEN_SESSIONS:],
        "test.jsonl": unseen + seen[:SEEN_SESSIONS],
        "all.jsonl": train + more,
        "balanced.jsonl": balanced(train + more),
    }


def balanced(lines: list[str]) -> list[str]:
    """Return at most `MOST_OF_A_SERVICE` lines of each service, in the order of `lines`."""
    of_service: dict[str, list[str]] = {}
    for line in sorted(lines, key=digest):
        of_service.setdefault(service(line), []).append(line)
    kept = {line for found in of_service.values() for line in found[:MOST_OF_A_SERVICE]}
    return [line for line in lines if line in kept]


def digest(line: str) -> bytes:
    """Return a hash by which sessions are chosen whatever their order."""
    return hashlib.sha256(json.loads(line)["session_id"].encode()).digest()


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--out", type=Path, default=HERE / "development")
    options = parser.parse_args(arguments)
    try:
        train, more = (
            (options.data / name).read_text(encoding="utf-8").splitlines(keepends=True)
            for name in ("train.jsonl", "train-more.jsonl")
        )
        options.out.mkdir(parents=True, exist_ok=True)
        for name, lines in split(train, more).items():
            (options.out / name).write_text("".join(lines), encoding="utf-8")
            print(f"{options.out / name}: {len(lines)} sessions")
    except (OSError, ValueError, KeyError) as error:
        print(f"{error}\n(--data names the folder with train.jsonl and train-more.jsonl)", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
