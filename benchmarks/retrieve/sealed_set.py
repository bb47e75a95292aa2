"""Makes the sealed test set of `sealed.py` on documentation that nothing here learns from.

The documents are pages of linux-doc-6.12 (Debian 13), and a test split of them is asked. Questions
are made by the rules of `groundup testset make`, and of cells of tables; those in other words were
written from the pages before they were indexed (data/sealed/hand.jsonl). Near misses ask a real
thing for what no passage that names it speaks of. What a reader found wrong of the first 100 made
samples is in data/sealed/faults.jsonl.

    python -m benchmarks.retrieve.sealed_set make FOLDER     documents, corpus and test set
    python -m benchmarks.retrieve.sealed_set show FOLDER     the samples that a person reads
"""

import argparse
import json
import random
import re
import shutil
import subprocess
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from groundup.core import Artifact, Message, Sample
from groundup.corpus import (
    CorpusConfig,
    DocumentCollection,
    corpus,
    question_candidates,
    read_split,
)
from groundup.corpus.questions.rules import RULES
from groundup.documents import Record
from groundup.measure import wilson_interval
from groundup.measure.testset import TestSetCard, make_testset, read_samples
from groundup.retrieve import chunk_document
from groundup.retrieve.calibration.made import _statements

DATA = Path(__file__).resolve().parents[1] / "data" / "sealed"
PACKAGE, LICENCE = "linux-doc-6.12", "GPL-2.0"
PARTS = (
    "PCI accounting admin-guide block cpu-freq dev-tools fault-injection fb filesystems hid hwmon "
    "i2c input kbuild kernel-hacking leds livepatch locking mm misc-devices networking power "
    "process scheduler scsi security sound spi tee timers tools usb virt w1 watchdog wmi"
).split()
LISTINGS = (
    "process/maintainers.html", "admin-guide/abi-*.html", "networking/netlink_spec/*.html",
    "networking/kapi.html", "sound/kernel-api/alsa-driver-api.html", "filesystems/api-summary.html",
)  # fmt: skip
"""Pages that a program made of sources."""
TEST_SHARE = 0.3
RULE_NAMES = tuple(rule.name for rule in RULES if rule.name != "section")
"""A heading is no quote."""
MAX_WORDS, OF_A_PAGE, CELLS, OF_A_TABLE_PAGE, NEAR, READ = 25, 18, 140, 12, 110, 100
VAGUE = re.compile(r"(?i)name|value|id|type|default|n/?a|no\.?|comments?|notes?")
HEAD = re.compile(r"\W*[A-Z][A-Za-z]*\s")
"""Begins a head of a table; others begin with a row."""
PROPERTIES = (
    ("What is the default value of {}?", r"default|initial|preset|reset"),
    ("Which version of Linux introduced {}?", r"version|since|introduc|added|new in|\d\.\d"),
    ("What is the largest value of {}?", r"max|most|larg|limit|up to|range|high|upper|bits?\b|0x"),
    ("Who wrote {}?", r"author|wrote|written|@|copyright|\bby\b"),
)
"""Near misses: what is asked, and what any passage that may answer it has."""


def fetch(folder: Path) -> None:
    """Download the package and copy its pages but for listings."""
    folder.mkdir(parents=True)
    subprocess.run(["apt-get", "-qq", "download", PACKAGE], cwd=folder, check=True)
    (package,) = folder.glob("*.deb")
    subprocess.run(["dpkg-deb", "-x", package, folder / "package"], check=True)
    pages = folder / "package/usr/share/doc" / PACKAGE / "html"
    for part in PARTS:
        shutil.copytree(pages / part, folder / "documents" / part)
    for pattern in LISTINGS:
        for path in (folder / "documents").glob(pattern):
            path.unlink()
    shutil.rmtree(folder / "package")


def make(folder: Path) -> None:
    """Make the corpus and seal the test set."""
    if not (folder / "documents").is_dir():
        fetch(folder)
    source = corpus(CorpusConfig(test_share=TEST_SHARE), folder / "documents", folder / "corpus")
    tested = list(read_split(source, "test"))
    others = [each for name in ("train", "validation") for each in read_split(source, name)]
    texts = [passage.text for each in tested + others for passage in chunk_document(each)]
    asked = [*rule_samples(tested, others), *cell_samples(tested, others)]
    samples = [*asked, *hand_samples(), *near_samples(asked, [text.lower() for text in texts])]
    card = TestSetCard(
        name="kernel documentation", licence=LICENCE, reviewed_by=f"one reader, {READ} samples",
        source=f"test split of {PACKAGE}; made by rules, and by hand before it was indexed",
    )  # fmt: skip
    sealed = make_testset(card, samples, {"corpus": source}, folder / "testset")
    kinds = Counter(sample.metadata["kind"] for sample in samples)
    faults = wilson_interval(len(read_lines("faults.jsonl")), READ)
    content = json.loads(sealed.file("card.json").read_bytes())["content"]
    print(f"{len(texts)} passages of {len(tested + others)} documents; {dict(kinds)}")
    print(f"wrong of the {READ} that were read: {faults}; samples {content[:12]}")


def read_lines(name: str) -> list[dict[str, Any]]:
    """The rows of a file of data/sealed."""
    return [json.loads(line) for line in (DATA / name).read_text(encoding="utf-8").splitlines()]


def rule_samples(tested: Sequence[Record], others: Sequence[Record]) -> Iterator[Sample]:
    """Yield the questions of the rules on the test split, some of each page."""
    collection, pages = DocumentCollection([*tested, *others]), Counter[str]()
    paths = {each.path for each in tested}
    for one in sorted(question_candidates(collection, paths, RULE_NAMES, MAX_WORDS), key=id_of):
        pages[one.path] += 1
        if pages[one.path] <= OF_A_PAGE:
            where = {name: one.answer_location[name] for name in ("start", "end")}
            name = {"name": one.name} if one.is_code else {}
            yield sample(one.rule, one.path, one.question, one.answer, where | name)


def id_of(one: Any) -> str:
    """What orders questions: a hash, after their kind."""
    return one.id


def sample(kind: str, path: str, question: str, answer: str, more: Mapping[str, Any]) -> Sample:
    """A question about a page; without an answer for a near miss."""
    answers = [{"path": path, "must": [answer]}] if answer else []
    metadata = {"kind": kind, "document": path, "answers": answers} | dict(more)
    id = f"{kind}: {question} ({path})"
    return Sample(id, (Message("user", question),), (answer,) if answer else (), path, metadata)


def cell_samples(tested: Sequence[Record], others: Sequence[Record]) -> Iterator[Sample]:
    """Yield questions for cells of tables whose row has a name that one document alone has."""
    named, pages, drawn = defaultdict[str, set[str]](set), Counter[str](), list[Any]()
    for document in [*tested, *others]:
        for word in set(re.findall(r"[\w-]+", document.text.lower())):
            named[word].add(document.path)
    for document in tested:
        found = [each for passage in chunk_document(document)
                 for each in _statements(passage, document, "english")
                 if HEAD.match(each.table)]  # fmt: skip
        questions = Counter(each.question for each in found)
        drawn += [each for each in found if questions[each.question] == 1]
    random.Random(0).shuffle(drawn)
    taken = set[str]()
    for each in drawn:
        column = each.question.removeprefix("What is the ").partition(" of ")[0]
        is_name = re.fullmatch(r"[A-Za-z_][\w-]{3,}", each.subject) is not None
        is_clear = re.fullmatch(r"[A-Za-z][A-Za-z ]{2,25}", column) and not VAGUE.fullmatch(column)
        is_said = re.search(r"\w{2}", each.answer) and len(each.answer.split()) <= MAX_WORDS
        is_alone = len(named[each.subject.lower()]) == 1 and each.subject not in taken
        if is_name and is_clear and is_said and is_alone and pages[each.path] < OF_A_TABLE_PAGE:
            pages[each.path] += 1
            taken.add(each.subject)
            must = [{"path": each.path, "must": [each.subject, each.answer]}]
            more = {"answers": must, "name": each.subject}
            yield sample("cell", each.path, each.question, each.answer, more)
        if len(taken) == CELLS:
            return


def hand_samples() -> Iterator[Sample]:
    """Yield what was written by hand."""
    for row in read_lines("hand.jsonl"):
        answers = row.get("answers", [])
        path = answers[0]["path"] if answers else row["path"]
        first = answers[0]["must"][0] if answers else ""
        yield sample(row["class"], path, row["question"], first, {"answers": answers})


def near_samples(asked: Sequence[Sample], texts: Sequence[str]) -> Iterator[Sample]:
    """Yield near misses of names that were asked for something else, a property in turn."""
    named = {each.metadata["name"]: each.group for each in asked if "name" in each.metadata}
    names, made = sorted(named), 0
    random.Random(1).shuffle(names)
    for number, name in enumerate(names):
        having = [text for text in texts if name.lower() in text]
        for turn in range(len(PROPERTIES)):
            question, needed = PROPERTIES[(number + turn) % len(PROPERTIES)]
            if made < NEAR and not any(re.search(needed, text) for text in having):
                made += 1
                yield sample("near", named[name], question.format(f"`{name}`"), "", {"made": True})
                break


def show(folder: Path) -> None:
    """Print the made samples that a person reads, drawn by a seed, with what stands around."""
    samples = [s for s in samples_of(folder) if s.metadata["kind"] != "other" and
               (s.metadata["kind"] != "near" or "made" in s.metadata)]  # fmt: skip
    documents = {each.path: each.text for each in read_split(
        Artifact.open(folder / "corpus"), "test")}  # fmt: skip
    for each in random.Random(2).sample(samples, READ):
        text, start = documents[each.group], each.metadata.get("start", -1)
        start = start if start >= 0 else text.find(each.metadata.get("name", ""))
        around = " ".join(text[max(0, start - 250) : start + 250].split())
        print(f"\n{each.id}\n  = {' '.join(each.references)}\n  … {around}")


def samples_of(folder: Path) -> list[Sample]:
    """The test set."""
    return list(read_samples(Artifact.open(folder / "testset")))


def main() -> None:
    """Make the test set, or print what is read of it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("verb", choices=("make", "show"))
    parser.add_argument("folder", type=Path)
    arguments = parser.parse_args()
    {"make": make, "show": show}[arguments.verb](arguments.folder)


if __name__ == "__main__":
    main()
