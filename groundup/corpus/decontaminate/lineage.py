"""Decontaminate: which samples of a test set did a model's training texts hold?

What an artifact trained on is read from its lineage: the corpora and the examples among its
ancestors, train split only. A sample is

    document   about a document that stands in a train split, by path and content
    copied     in a training text by a 13-gram of its question or of a reference (the whole text if
               it has 8 to 12 words; with fewer a match would say nothing)
    near       a near-duplicate of a training example's message: word 5-grams, Jaccard 0.8

A document trained on is what an assistant for these documents is for; for a number that shall speak
of unseen ones it is a leak. Ancestors that are not here any more cannot be read, which is said.
Source of the 13-grams: Brown et al. 2020, arXiv:2005.14165, appendix C.
"""

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from groundup.core import MANIFEST, Artifact, DataError, Sample
from groundup.documents import Document

from ..dedup.in_memory import WORD, Shelf, WordHashes, shingles
from ..split import read_split

GRAM_WORDS, FEWEST_WORDS, NEAR = 13, 8, 0.8
TOLD = {
    "document": "about a document that was trained on",
    "copied": f"{GRAM_WORDS} words in a row of question or reference were trained on",
    "near": "nearly the same as a training message",
}


class Trained(NamedTuple):
    """A text that something trained on."""

    where: str
    """The artifact, and the document's path or the line."""
    text: str
    document: Document | None = None
    """None for a message of an example."""


class Lineage(NamedTuple):
    """The artifacts that hold what something trained on."""

    sources: tuple[Artifact, ...]
    """Corpora and examples, nearest first."""
    missing: tuple[str, ...]
    """Where ancestors were that are not here any more."""


class Overlap(NamedTuple):
    """A sample that was trained on."""

    sample: str
    how: str
    """document, copied or near."""
    where: str
    """The training text."""


class Contamination(NamedTuple):
    """What a test set and the training texts of an artifact have in common."""

    overlaps: tuple[Overlap, ...]
    texts: int
    """Training texts that were read."""
    unread: tuple[str, ...]
    """Ancestors that are not here."""
    too_short: int
    """Samples of which no text is long enough to be found by its words."""

    def __str__(self) -> str:
        """One line a way of overlapping, with the first samples; what could not be told below."""
        lines = [f"{self.texts:,} training texts read"]
        for how, meaning in TOLD.items():
            rows = [overlap for overlap in self.overlaps if overlap.how == how]
            first = ", ".join(f"{row.sample} ({row.where})" for row in rows[:3])
            if rows:
                lines.append(f"{len(rows)} samples: {meaning}: {first}{' …' * (len(rows) > 3)}")
        if not self.overlaps:
            lines.append("no sample stands in them")
        if self.too_short:
            lines.append(f"{self.too_short} samples are too short to be found by their words")
        return "\n".join(
            lines + [f"not read, since it is not here: {path}" for path in self.unread]
        )


def contamination(samples: Sequence[Sample], against: Artifact) -> Contamination:
    """Compare the samples with everything that an artifact trained on, or holds for training.

    Raises DataError if neither it nor its ancestors that are here hold training texts.
    """
    lineage = trained_by(against)
    if not lineage.sources:
        gone = f"; not here: {', '.join(lineage.missing)}" if lineage.missing else ""
        raise DataError(
            f"{against.path} has neither a corpus nor examples in its lineage{gone}; give a "
            "corpus, examples, or a model made from them."
        )
    texts = (text for source in lineage.sources for text in training_texts(source))
    return compare(samples, texts, lineage.missing)


def trained_by(artifact: Artifact) -> Lineage:
    """The corpora and examples among an artifact and its ancestors, each once, nearest first."""
    waiting, seen = [artifact], {artifact.id}
    sources: list[Artifact] = []
    missing: list[str] = []
    for one in waiting:  # it grows as parents are found
        if one.kind in ("corpus", "examples"):
            sources.append(one)
        for parent in one.parents:
            if parent.id in seen:
                continue
            seen.add(parent.id)
            if (one.path / parent.path / MANIFEST).is_file():
                waiting.append(Artifact.open(one.path / parent.path))
            else:
                missing.append(f"{parent.name} {parent.path}")
    return Lineage(tuple(sources), tuple(missing))


def training_texts(source: Artifact) -> Iterator[Trained]:
    """Yield the train split of a corpus or of examples, a text at a time."""
    name = source.path.name
    if source.kind == "corpus":
        for document in read_split(source, "train"):
            yield Trained(f"{name}: {document.path}", document.text, document)
        return
    path = source.file("train.jsonl")
    with open(path, encoding="utf-8", newline="\n") as file:
        for number, line in enumerate(file, start=1):
            try:
                contents = [str(turn["content"]) for turn in json.loads(line)["messages"]]
            except (ValueError, KeyError, TypeError) as error:
                raise DataError(f"{path}, line {number} is no example ({error}).") from None
            for content in contents:
                yield Trained(f"{name}: line {number}", content)


def compare(
    samples: Sequence[Sample], texts: Iterable[Trained], missing: Sequence[str] = ()
) -> Contamination:
    """Compare samples with training texts, held one at a time.

    >>> from groundup.core import Message
    >>> asked = Message("user", "In which year did the first ship of the line leave the harbour?")
    >>> text = "Tell in which year did the first ship of the line leave the harbour, and why."
    >>> found = compare([Sample("1", (asked,))], [Trained("notes", text)])
    >>> [(overlap.sample, overlap.how) for overlap in found.overlaps]
    [('1', 'copied')]
    """
    grams, shelf = Grams(samples), Shelf(NEAR)
    about: dict[tuple[str, str], list[str]] = defaultdict(list)
    for number, sample in enumerate(samples):
        shelf.put(number, *shelf.sketch(question(sample)))
        if sample.references:
            place = sample.metadata.get("document"), sample.metadata.get("sha256")
            about[str(place[0]), str(place[1])].append(sample.id)
    overlaps: dict[tuple[str, str], Overlap] = {}
    read = 0
    for text in texts:
        read += 1
        found = [(name, "copied") for name in grams.inside(text.text)]
        if text.document is None:
            near = shelf.near(*shelf.sketch(text.text))
            found += [(samples[number].id, "near") for number, _ in near]
        else:
            key = text.document.path, text.document.sha256
            found += [(name, "document") for name in about.get(key, ())]
        for name, how in found:
            overlaps.setdefault((name, how), Overlap(name, how, text.where))
    return Contamination(tuple(overlaps.values()), read, tuple(missing), len(grams.too_short))


class Grams:
    """The 13-grams of all samples, to be looked for in one text after the other."""

    def __init__(self, samples: Iterable[Sample]) -> None:
        self.hashes = WordHashes()
        self.owners: dict[int, dict[str, None]] = defaultdict(dict)
        self.too_short: list[str] = []
        lengths: dict[int, set[int]] = defaultdict(set)
        for sample in samples:
            texts = [
                text
                for text in (question(sample), *sample.references)
                if len(WORD.findall(text)) >= FEWEST_WORDS
            ]
            self.too_short += [] if texts else [sample.id]
            for text in texts:
                length = min(GRAM_WORDS, len(WORD.findall(text)))
                for gram in shingles(text, self.hashes, length).tolist():
                    lengths[length].add(gram)
                    self.owners[gram][sample.id] = None
        self.wanted = {n: np.array(sorted(grams), np.uint64) for n, grams in lengths.items()}

    def inside(self, text: str) -> list[str]:
        """Ids of the samples of which a gram stands in the text."""
        found: dict[str, None] = {}
        for length, wanted in self.wanted.items():
            made = shingles(text, self.hashes, length)
            for gram in made[np.isin(made, wanted)].tolist():
                found |= self.owners[gram]
        return list(found)


def question(sample: Sample) -> str:
    """What is asked: the last message of the conversation."""
    return sample.conversation[-1].content if sample.conversation else ""
