"""dedup.substrings on labelled passages of real pages.

    python -m benchmarks.corpus.dedup_labels planted SHARDS         passages copied to known places
    python -m benchmarks.corpus.dedup_labels sample SHARDS          repeated passages to be judged
    python -m benchmarks.corpus.dedup_labels judged SHARDS  the steps beside dedup_labels.txt

SHARDS are what `dedup.py prepare` writes. Near-duplicates go first, as in a
pipeline, and the steps have their defaults. What is repeated is found here a second time, by plain
comparison of words and with no code of the steps, so a reader also sees what they leave.
"""

import argparse
import hashlib
import random
import re
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow
import pyarrow.parquet as parquet

from groundup.corpus.dedup.minhash import MinHashConfig, MinHashDedup
from groundup.corpus.dedup.substrings import Substrings, SubstringsConfig
from groundup.corpus.engine.shards import read_step_results
from groundup.documents import Record, SourceMap, StepResult, record_schema, to_batch
from groundup.measure import wilson_interval

STEPS = {
    "substrings": lambda priority=(): Substrings(SubstringsConfig(priority=priority)),
}
LABELS = Path(__file__).with_suffix(".txt")
WORD = re.compile(r"\w+")
SENTENCE = re.compile(r"[^.!?\n]*(?:[.!?](?!\s)[^.!?\n]*)*(?:[.!?](?=\s)|\n|$)")
SHORTEST, EACH = 30, 30
"""Words of a repeated passage that is judged; passages of each length that are."""
BANDS = {"30 to 49": (30, 50), "50 to 99": (50, 100), "100 and more": (100, 10**9)}


class Span(NamedTuple):
    """Characters of a page."""

    start: int
    end: int


class Repeat(NamedTuple):
    """A passage of a page that stands in another, or earlier in itself."""

    page: int
    first: int
    """Its first word."""
    last: int
    """One past its last."""
    of: int
    """The page that has it first."""


def each(task: Any, items: Sequence[Any]) -> list[Any]:
    """One task after the other."""
    return [task(item) for item in items]


def rulings(step: Any, records: Sequence[Record]) -> dict[str, StepResult]:
    """What a survey says of records."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "records.parquet"
        table = pyarrow.Table.from_batches([to_batch(list(records))], schema=record_schema())
        parquet.write_table(table, path, row_group_size=500)
        found: dict[str, StepResult] = {}
        for part in step.rulings([path], each, Path(folder) / "scratch"):
            found |= read_step_results(part)
    return found


def cuts(ruling: StepResult | None, text: str) -> list[Span]:
    """Where a ruling cuts; everywhere if the page goes."""
    if ruling is None:
        return []
    return [Span(0, len(text))] if ruling.reason else [Span(e.start, e.end) for e in ruling.edits]


def cut_words(text: str, spans: Sequence[Span]) -> set[int]:
    """Places of the words that lie within spans."""
    starts = [match.start() for match in WORD.finditer(text)]
    return {n for n, at in enumerate(starts) if any(a <= at < b for a, b in spans)}


def survivors(shards: Path) -> list[Record]:
    """Pages in spaced scripts of which none is nearly another, in the order of the surveys."""
    rows = [
        row
        for path in sorted(shards.glob("*.parquet"))
        for row in parquet.read_table(path, columns=["id", "path", "text"]).to_pylist()
    ]
    read = [
        Record(row["id"], "page", row["path"], "html", row["text"], SourceMap.identity(row["text"]))
        for row in rows
        if sum(map(str.isascii, row["text"])) > 0.97 * len(row["text"]) < 60_000
    ]
    gone = rulings(MinHashDedup(MinHashConfig()), read)
    kept = [one for one in read if one.id not in gone or not gone[one.id].reason]
    return sorted(kept, key=lambda one: one.id)


def words_of(text: str, fold: bool = True) -> list[str]:
    """Words, plainly."""
    return WORD.findall(text.casefold() if fold else text)


def repeats(pages: Sequence[Sequence[str]], length: int) -> list[Repeat]:
    """Every longest passage of at least `length` words that an earlier page has, or this before."""
    first: dict[int, tuple[int, int]] = {}
    found: list[Repeat] = []
    for page, words in enumerate(pages):
        for at in range(len(words) - length + 1):
            gram = tuple(words[at : at + length])
            of, place = first.setdefault(hash(gram), (page, at))
            if (of, place) == (page, at) or tuple(pages[of][place : place + length]) != gram:
                continue
            last = found[-1] if found and found[-1].page == page else None
            if last and last.last == at + length - 1:
                found[-1] = last._replace(last=at + length)
            else:
                found.append(Repeat(page, at, at + length, of))
    return found


def passages(text: str, count: int, least: int, most: int) -> list[str]:
    """Runs of `count` sentences of some words each, `least` to `most` words together."""
    found = []
    for line in text.split("\n"):
        parts = [part.strip() for part in SENTENCE.findall(line) if len(words_of(part)) >= 4]
        for at in range(len(parts) - count + 1):
            run = " ".join(parts[at : at + count])
            if least <= len(words_of(run)) <= most and run in text:
                found.append(run)
    return found


def respelt(passage: str, kind: str, chance: random.Random) -> str:
    """A copy as pages make them: other white space and marks, other case, or another word."""
    if kind == "other marks":
        return re.sub(r"(?<=\w)[,;] ", lambda _: chance.choice(["  ", " - ", "\u00a0"]), passage)
    if kind == "other case":
        return passage.upper()
    if kind == "a word changed":
        words = passage.split(" ")
        words[len(words) // 2] = "whatsoever"
        return " ".join(words)
    return passage


KINDS = {
    "same": (4, 60, 250, "substrings"),
    "other marks": (4, 60, 250, "substrings"),
    "other case": (4, 60, 250, ""),
    "a word changed": (8, 120, 400, "substrings"),
    "two sentences": (2, 16, 45, ""),
}
"""Sentences copied, words from and to, and the steps that shall find it."""


def planted(shards: Path, seed: int) -> None:
    """Copy passages of some pages into others; print what of them is cut, and what else."""
    chance = random.Random(seed)
    pages = [one for one in survivors(shards) if 150 <= len(words_of(one.text)) <= 6_000]
    chance.shuffle(pages)
    donors = [replace(one, source="donor") for one in pages[: len(pages) // 3]]
    hosts = [replace(one, source="host") for one in pages[len(pages) // 3 :]]
    ordered = sorted(donors, key=lambda one: one.id) + sorted(hosts, key=lambda one: one.id)
    natural = {name: rulings(make(("donor",)), donors + hosts) for name, make in STEPS.items()}
    proven = {"substrings": proven_words(ordered)}
    for name, found in natural.items():
        told(name, found, ordered, proven[name])
    quiet = [one for one in hosts if all(not cuts(found.get(one.id), one.text)
                                         for found in natural.values())]  # fmt: skip
    print(f"{len(donors)} donors; {len(quiet)} hosts without a cut, each with a plant of a kind")
    tallies = {name: Tally(Counter(), Counter(), Counter(), Counter()) for name in STEPS}
    for turn in range(len(KINDS)):
        made, places = plant(donors, quiet, chance, turn)
        for name, make in STEPS.items():
            score(tallies[name], rulings(make(("donor",)), donors + made), made, places)
    for name, tally in tallies.items():
        tell(name, tally)


def proven_words(ordered: Sequence[Record]) -> dict[str, set[int]]:
    """Words of each page within 50 in a row, case kept, that stand earlier."""
    found: dict[str, set[int]] = {one.id: set() for one in ordered}
    for one in repeats([words_of(page.text, False) for page in ordered], 50):
        found[ordered[one.page].id] |= set(range(one.first, one.last))
    return found


def told(
    name: str, found: dict[str, StepResult], ordered: Sequence[Record], proven: dict[str, set[int]]
) -> None:
    """What is cut of the pages as they are, beside what plain comparison proves."""
    both = cut = true = 0
    for one in ordered:
        ruling = found.get(one.id)
        if ruling and ruling.reason:
            continue  # a page that goes whole has no places to compare
        own = cut_words(one.text, cuts(ruling, one.text))
        both += len(own & proven[one.id])
        cut, true = cut + len(own), true + len(proven[one.id])
    print(f"{name}: {len(ordered)} pages as they are, {cut:,} words cut, {true:,} proven repeated;")
    print(f"    {both / max(cut, 1):.4f} of those cut, {both / max(true, 1):.4f} of those proven")


def plant(
    donors: Sequence[Record], hosts: Sequence[Record], chance: random.Random, turn: int
) -> tuple[list[Record], dict[str, tuple[str, Span]]]:
    """Hosts with a passage each, none twice, and where: kind and characters."""
    pools = {
        kind: [run for one in donors for run in passages(one.text, count, least, most)[:1]]
        for kind, (count, least, most, _) in KINDS.items()
    }
    for pool in pools.values():
        chance.shuffle(pool)
    made, places, kinds = [], {}, list(KINDS)
    for number, host in enumerate(hosts):
        kind = kinds[(number + turn) % len(kinds)]
        if not pools[kind]:
            continue
        copy = respelt(pools[kind].pop(), kind, chance)
        ends = [match.end() for match in re.finditer(r"\n", host.text)] or [len(host.text)]
        at = chance.choice(ends)
        text = f"{host.text[:at]}{copy}\n{host.text[at:]}"
        made.append(replace(host, text=text, map=SourceMap.identity(text)))
        places[host.id] = kind, Span(at, at + len(copy))
    return made, places


class Tally(NamedTuple):
    """What was counted by kind of plant."""

    plants: Counter[str]
    hit: Counter[str]
    """Of which four words of five were cut."""
    inside: Counter[str]
    """Words cut in plants."""
    beside: Counter[str]
    """Words cut elsewhere."""


def score(
    tally: Tally,
    found: dict[str, StepResult],
    hosts: Sequence[Record],
    places: dict[str, tuple[str, Span]],
) -> None:
    """Count what was cut of each host."""
    for host in hosts:
        kind, span = places[host.id]
        own = cut_words(host.text, cuts(found.get(host.id), host.text))
        true = cut_words(host.text, [span])
        tally.plants[kind] += 1
        tally.hit[kind] += len(own & true) >= 0.8 * len(true)
        tally.inside[kind] += len(own & true)
        tally.beside[kind] += len(own - true)


def tell(name: str, tally: Tally) -> None:
    """A line a kind."""
    for kind, (*_, steps) in KINDS.items():
        hit, count = tally.hit[kind], tally.plants[kind]
        low, high = wilson_interval(hit, count)[1:3]
        wanted = "shall go" if name in steps else "shall stay"
        print(f"{name}: {kind:15} {wanted} {hit} of {count} cut [{low:.3f}, {high:.3f}], words cut "
              f"in plants {tally.inside[kind]:,}, beside {tally.beside[kind]:,}")  # fmt: skip


def candidates(pages: Sequence[Record]) -> list[tuple[str, Repeat]]:
    """Repeated passages to judge, some of each length: chosen by a hash of their words."""
    words = [words_of(one.text) for one in pages]

    def key(one: Repeat) -> str:
        own = " ".join(words[one.page][one.first : one.last])
        return hashlib.sha256(f"{pages[one.page].id} {own}".encode()).hexdigest()[:12]

    ranked = sorted((key(one), one) for one in repeats(words, SHORTEST))
    chosen: list[tuple[str, Repeat]] = []
    for low, high in BANDS.values():
        sites: Counter[str] = Counter()
        taken = []
        for name, one in ranked:
            site = pages[one.page].path.split("/")[0]
            if low <= one.last - one.first < high and sites[site] < 4 and len(taken) < EACH:
                sites[site] += 1
                taken.append((name, one))
        chosen += taken
    return chosen


def sample(shards: Path) -> None:
    """Print the passages to judge."""
    pages = survivors(shards)
    for key, one in candidates(pages):
        text = pages[one.page].text
        starts = [match.span() for match in WORD.finditer(text)]
        own = text[starts[one.first][0] : starts[one.last - 1][1]]
        shown = re.sub(r"\s+", " ", own)
        shown = shown if len(shown) < 420 else f"{shown[:280]} …… {shown[-120:]}"
        same = " (itself)" if one.of == one.page else f" of {pages[one.of].path}"
        print(f"{key} {one.last - one.first} words, {pages[one.page].path}{same}\n    {shown}")


def judged(shards: Path) -> None:
    """Precision and recall of the steps on the judged passages."""
    pages = survivors(shards)
    rows = [line.split() for line in LABELS.read_text().splitlines() if line[:1] not in "#"]
    labels = {row[0]: row[1] for row in rows}
    found = {key: one for key, one in candidates(pages) if key in labels}
    print(f"{len(labels)} judged, {len(found)} of them in these pages: "
          f"{dict(Counter(labels[key] for key in found))}")  # fmt: skip
    for name, make in STEPS.items():
        made = rulings(make(), pages)
        gone = {}
        for key, one in found.items():
            page = pages[one.page]
            own = cut_words(page.text, cuts(made.get(page.id), page.text))
            inside = len(own & set(range(one.first, one.last)))
            gone[key] = inside >= 0.5 * (one.last - one.first)
        rates(name, gone, labels)
        for band, (low, high) in BANDS.items():
            some = {k: v for k, v in gone.items() if low <= found[k].last - found[k].first < high}
            rates(f"{name}, {band} words", some, labels)


def rates(name: str, gone: dict[str, bool], labels: dict[str, str]) -> None:
    """A line of precision and recall."""
    hit = sum(labels[key] == "go" for key, cut in gone.items() if cut)
    cut, true = sum(gone.values()), sum(labels[key] == "go" for key in gone)
    shares = []
    for what, count in (("precision", cut), ("recall", true)):
        low, high = wilson_interval(hit, count)[1:3] if count else (0, 1)
        shares.append(f"{what} {hit} of {count} [{low:.3f}, {high:.3f}]")
    print(f"{name}: {', '.join(shares)}")


def main() -> None:
    """Run one part."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("part", choices=["planted", "sample", "judged"])
    parser.add_argument("shards", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    if arguments.part == "planted":
        planted(arguments.shards, arguments.seed)
    else:
        {"sample": sample, "judged": judged}[arguments.part](arguments.shards)


if __name__ == "__main__":
    main()
