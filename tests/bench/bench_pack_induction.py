"""Measure the goals of pack induction on SGD, STAR and the pharmacy example, with the annotations hidden.

    python tests/bench/bench_pack_induction.py [--goal 0 1 2 3 4 5 6] [--data sgd star pharmacy] [--quick] [--check]
        [--base tiny:]

Fields are matched through the gold items of the turns that their patterns find (induction_goals/matching.py), never
through names or embeddings. The constants of the package were chosen on sgd/train.jsonl, star/train.jsonl and the
committed pharmacy logs. This script reports on other sessions: SGD's `train-more`, of the same services, and `test`,
half of them of other services; STAR's `validation`; pharmacy logs from another seed. `--quick` takes part of the
sessions and the encoder `hashing`, and leaves out the 20,000 sessions of goal 6. Goal 0 is what bad input is told.
Goal 5 trains three policies, and is only measured if it is asked for; `--base` is what is trained. `--check` exits with
1 if a goal is not held.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

from calibration_goals.rows import Row
from induction_goals import policy
from induction_goals.domains import (
    DATA,
    Domain,
    acted_in_words,
    dialogues,
    pharmacy,
)
from induction_goals.matching import (
    Score,
    field_score,
    goal_score,
    label,
    matches,
    pattern_score,
    rand_index,
    stop_score,
)
from induction_goals.perfect import grouped_by_truth
from induction_goals.reviewer import SimulatedReviewer
from learntoask.core.pack import Pack, parse_pack
from learntoask.grading.encoders.caching import CachingEncoder, load_encoder
from learntoask.induction.from_logs import suggest_from_logs
from learntoask.induction.output.pack_yaml import pack_yaml
from learntoask.induction.people.rounds import Rounds
from learntoask.induction.people.said import NOTHING_SAID, Said
from learntoask.induction.suggestion import Suggestion
from worlds.bad_logs import bad_logs, init_says, line_with, other_faults
from worlds.induction import write
from worlds.pharmacy import annotated_logs, generated_logs

GOALS = (0, 1, 2, 3, 4, 5, 6)
_WITHOUT_TRAINING = (0, 1, 2, 3, 4, 6)
_QUICK = 150  # sessions
_FEWEST_OF_SERVICE = 20


class Bench:
    """Suggests packs for domains, and keeps the encoder, which remembers its texts."""

    def __init__(self, folder: Path, *, quick: bool) -> None:
        self.folder, self.quick = folder, quick
        self.encoder = CachingEncoder(load_encoder("hashing" if quick else "minilm"))

    def suggested(self, domain: Domain, said: Said = NOTHING_SAID) -> tuple[Suggestion, Pack, Path]:
        """Return the suggestion for a domain, its pack, and the file of the logs."""
        logs = domain.write(self.folder / f"{domain.name.replace(' ', '-')}.jsonl")
        found = suggest_from_logs(logs, encoder=self.encoder, said=said)
        return found, parse_pack(pack_yaml(found, name="bench"), where="the suggested pack"), logs

    def reviewed(self, domain: Domain, found: Suggestion) -> tuple[Suggestion, Pack, Said]:
        """Return the suggestion and the pack after a simulated review in rounds, and its answers."""
        reviewer, rounds, asked = SimulatedReviewer(domain), Rounds(), []
        while cards := rounds.next_of(found):
            asked += cards
            found, pack, _ = self.suggested(domain, reviewer.said(asked))
        return found, pack, reviewer.said(asked)

    def part(self, domain: Domain) -> Domain:
        """Return the domain, or sessions from all parts of it with --quick."""
        if not self.quick:
            return domain
        lines = domain.lines[:: max(1, len(domain.lines) // _QUICK)][:_QUICK]
        return Domain(
            domain.name, lines, {one["session_id"]: domain.truths[one["session_id"]] for one in lines}
        )


def domains(bench: Bench, data: list[str]) -> Iterator[tuple[Domain, Domain | None]]:
    """Yield each domain to make a pack from, with further sessions to measure its patterns on."""
    if "pharmacy" in data:
        yield pharmacy_of(bench, seed=11), pharmacy_of(bench, seed=12)
    if "star" in data and (DATA / "star").is_dir():
        validation = dialogues("star validation", "star/validation.jsonl")
        yield bench.part(dialogues("star train", "star/train.jsonl")), bench.part(validation)
    if "sgd" in data and (DATA / "sgd").is_dir():
        more = dialogues("sgd train-more", "sgd/train-more.jsonl")
        yield bench.part(dialogues("sgd train", "sgd/train.jsonl")), bench.part(more)
        yield bench.part(more), None
        yield bench.part(dialogues("sgd test", "sgd/test.jsonl")), None


def pharmacy_of(bench: Bench, *, seed: int) -> Domain:
    """Return pharmacy sessions that another seed makes."""
    folder = bench.folder / f"pharmacy-{seed}"
    folder.mkdir(exist_ok=True)
    generated_logs(folder, seed=seed)
    made = bench.part(pharmacy(folder))
    return Domain(f"pharmacy seed {seed}", made.lines, made.truths)


def measured(bench: Bench, domain: Domain, held_out: Domain | None) -> Iterator[Row]:
    """Yield the figures of goals 1 to 4 for one domain."""
    begin = time.monotonic()
    found, pack, logs = bench.suggested(domain)
    took = time.monotonic() - begin
    labelled = label(pack, domain, logs)
    taken = matches(labelled)
    fields = field_score(labelled)
    yield Row(1, domain.name, "fields, untouched", str(fields), "F1 ≥ .75", fields.f1 >= 0.75)
    _, better, said = bench.reviewed(domain, found)
    labelled_after = label(better, domain, logs)
    after = field_score(labelled_after)
    yield Row(1, domain.name, f"fields, after {said.count} answers", str(after), "F1 ≥ .90", after.f1 >= 0.9)
    inside = pattern_score(taken, labelled)
    yield Row(2, domain.name, "fields asked, the same sessions", str(inside), "≥ .95 / .80", _holds(inside))
    yield Row(2, domain.name, "micro-goals, the same sessions", str(goal_score(taken, labelled)))
    taken_after = matches(labelled_after)
    shown = str(pattern_score(taken_after, labelled_after))
    yield Row(2, domain.name, "fields asked after the answers, the same sessions", shown)
    if held_out is not None:
        unseen = label(pack, held_out, held_out.write(bench.folder / "held-out.jsonl"))
        score = pattern_score(taken, unseen)
        yield Row(2, domain.name, f"fields asked, {held_out.name}", str(score), "≥ .95 / .80", _holds(score))
        shown = str(pattern_score(taken_after, label(better, held_out, bench.folder / "held-out.jsonl")))
        yield Row(2, domain.name, f"fields asked after the answers, {held_out.name}", shown)
    stops = stop_score(labelled)
    yield Row(3, domain.name, "stops", str(stops), "F1 ≥ .95", stops.f1 >= 0.95)
    several = len(set(domain.tasks())) > 1
    told = f"{'/'.join(found.task_from) or 'none'}, {found.task_share or 0:.2f} of the entropy"
    yield Row(
        4,
        domain.name,
        "key of the task",
        told,
        "found" if several else "none",
        bool(found.task_from) == several,
    )
    yield Row(6, domain.name, f"{len(domain.lines)} sessions, the suggestion alone", f"{took:.0f} s")


def bound(bench: Bench, domain: Domain, held_out: Domain | None) -> Iterator[Row]:
    """Yield what a pack reaches whose questions are grouped by the truth: no answers can tell more."""
    with grouped_by_truth(domain):
        _, pack, logs = bench.suggested(domain)
    labelled = label(pack, domain, logs)
    taken = matches(labelled)
    yield Row(1, domain.name, "fields, questions grouped by the truth", str(field_score(labelled)))
    shown = str(pattern_score(taken, labelled))
    yield Row(2, domain.name, "fields asked, grouped by the truth, the same sessions", shown)
    if held_out is not None:
        shown = str(
            pattern_score(taken, label(pack, held_out, held_out.write(bench.folder / "held-out.jsonl")))
        )
        yield Row(2, domain.name, f"fields asked, grouped by the truth, {held_out.name}", shown)


def cost(bench: Bench) -> Iterator[Row]:
    """Yield the time and the memory of `lta init` with its check, as a process of its own."""
    for sessions, most in ((600, 60.0),) if bench.quick else ((600, 60.0), (20_000, 900.0)):
        folder = bench.folder / f"cost-{sessions}"
        folder.mkdir()
        logs = generated_logs(folder, seed=13, sessions=sessions)
        command = [
            sys.executable,
            "-m",
            "learntoask.cli.app",
            "init",
            str(logs),
            "--out",
            str(folder / "out"),
        ]
        begin = time.monotonic()
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        _, status, used = os.wait4(process.pid, 0)
        took = time.monotonic() - begin
        peak = used.ru_maxrss / 2**20
        held = status == 0 and took <= most and peak <= 2
        processor = used.ru_utime + used.ru_stime
        shown = f"{took:.0f} s ({processor:.0f} s of processor time), {peak:.1f} GiB"
        yield Row(6, "pharmacy", f"lta init, {sessions:,} sessions", shown, f"≤ {most:.0f} s, 2 GiB", held)


def trained(bench: Bench, base: str) -> Iterator[Row]:
    """Yield how good the policies of suggested packs are, beside that of the pack written by hand."""
    domain = pharmacy_of(bench, seed=11)
    found, _, logs = bench.suggested(domain)
    folder = bench.folder / "trained"
    folder.mkdir()
    pharmacy_of(bench, seed=12)
    truth = annotated_logs(folder / "truth.jsonl", source=bench.folder / "pharmacy-12")
    suggested = {}
    for name, suggestion in (("untouched", found), ("reviewed", bench.reviewed(domain, found)[0])):
        suggested[name] = folder / f"{name}.pack.yaml"
        suggested[name].write_text(pack_yaml(suggestion, name=name), encoding="utf-8")
    yield from policy.rows(folder, logs=logs, truth=truth, suggested=suggested, base=base)


def bad_inputs(bench: Bench) -> Iterator[Row]:
    """Yield what bad input is told."""
    folder = bench.folder / "bad"
    folder.mkdir()
    for number, (what, lines, wanted) in enumerate(bad_logs()):
        said = init_says(write(folder / f"bad-{number}.jsonl", lines), folder / str(number))
        yield Row(0, "bad input", what, line_with(said, wanted), "said", wanted in said)
    for what, said, wanted in other_faults(folder):
        yield Row(0, "bad input", what, line_with(said, wanted), "said", wanted in said)


def services(bench: Bench) -> Iterator[Row]:
    """Yield the mean of goal 1 over the services of SGD, each alone."""
    whole = bench.part(dialogues("sgd train-more", "sgd/train-more.jsonl"))
    of = Counter(task.split("/")[0] for task in whole.tasks())
    untouched: list[Score] = []
    reviewed: list[Score] = []
    for service, count in sorted(of.items()):
        if count >= _FEWEST_OF_SERVICE:
            alone = whole.only(service, lambda truth, name=service: truth.task.split("/")[0] == name)
            found, pack, logs = bench.suggested(alone)
            untouched.append(field_score(label(pack, alone, logs)))
            reviewed.append(field_score(label(bench.reviewed(alone, found)[1], alone, logs)))
    for scores, when, goal in ((untouched, "untouched", 0.75), (reviewed, "after the review", 0.9)):
        mean = sum(score.f1 for score in scores) / len(scores)
        worst = min(score.f1 for score in scores)
        yield Row(
            1,
            "sgd per service",
            f"fields, {when}, mean of {len(scores)} services",
            f"F1 {mean:.2f}, the worst {worst:.2f}",
            f"F1 ≥ {goal:.2f}".replace("0.", "."),
            mean >= goal,
        )


def without_marks(bench: Bench) -> Iterator[Row]:
    """Yield the stops of SGD where the expert acts in words, and the groups of sessions without a key."""
    words = bench.part(acted_in_words("sgd in words", "sgd/train-more.jsonl"))
    _, pack, logs = bench.suggested(words)
    stops = stop_score(label(pack, words, logs))
    yield Row(
        3, words.name, "stops, markers replaced by what was said", str(stops), "F1 ≥ .95", stops.f1 >= 0.95
    )
    for domain in (dialogues("star", "star/train.jsonl"), dialogues("sgd", "sgd/train.jsonl")):
        bare = bench.part(domain).without("goal")
        found, _, _ = bench.suggested(bare)
        groups = rand_index(found.session_groups, [_domain(task) for task in bare.tasks()])
        yield Row(
            4,
            domain.name,
            "groups without a key, adjusted Rand index",
            f"{groups:.2f}",
            "≥ .70",
            groups >= 0.7,
        )


def _domain(task: str) -> str:
    """Return the domain of a task: SGD has several services for one, such as Flights_1 and Flights_2."""
    return task.split("/", maxsplit=1)[0].rstrip("_0123456789")


def _holds(score: Score) -> bool:
    return score.precision >= 0.95 and score.recall >= 0.8


def main() -> int:
    """Print the table, and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--goal", type=int, nargs="+", choices=GOALS, default=_WITHOUT_TRAINING)
    parser.add_argument(
        "--data", nargs="+", choices=("sgd", "star", "pharmacy"), default=["sgd", "star", "pharmacy"]
    )
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--base", choices=sorted(policy.BASES), default="tiny:")
    options = parser.parse_args()
    short = 0

    def show(rows: Iterator[Row]) -> None:
        nonlocal short
        for row in rows:
            if row.goal in options.goal:
                print(row.line(), flush=True)
                short += row.held is False

    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder), quick=options.quick)
        if 0 in options.goal:
            show(bad_inputs(bench))
        if {1, 2, 3, 4} & {*options.goal}:
            compare(bench, options.data, show)
        if 5 in options.goal:
            show(trained(bench, options.base))
        if 6 in options.goal:
            show(cost(bench))
    return int(options.check and short > 0)


def compare(bench: Bench, data: list[str], show: Callable[[Iterator[Row]], None]) -> None:
    """Show the rows that compare suggestions with the truth."""
    for domain, held_out in domains(bench, data):
        show(measured(bench, domain, held_out))
        show(bound(bench, domain, held_out))
    if "sgd" in data and (DATA / "sgd").is_dir():
        show(services(bench))
        show(without_marks(bench))


if __name__ == "__main__":
    raise SystemExit(main())
