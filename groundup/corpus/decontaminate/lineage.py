"""Decontaminate: which samples of a test set did a model's training texts hold?

What an artifact trained on is read from its lineage: the corpora and the examples among its
ancestors, train split only. A sample is

    document   about a document that stands in a train split, by path and content
    copied     in a training text by the words of a message or of a reference: see matching.py
    near       a near-duplicate of a training example's message: word 5-grams, Jaccard 0.8

A document trained on is what an assistant for these documents is for; for a number that shall speak
of unseen ones it is a leak. Ancestors that are not here any more cannot be read, which is said.
"""

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from groundup.core import Artifact, DataError, Sample
from groundup.documents import Document

from ..dedup.in_memory import SHINGLE, Shared
from ..dedup.sketch import grams, of_strings, sets
from ..split import read_split
from .matching import GRAM, index_of, seen_table, seen_tokens, texts_of

NEAR = 0.8
TOLD = {
    "document": "about a document that was trained on",
    "copied": f"{GRAM} words in a row, or all of a shorter text, were trained on",
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
            if (found := one.open_parent(parent)) is not None:
                waiting.append(found)
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
    index = index_of(("", sample.id, texts_of(sample)) for sample in samples)
    asked = Shared(sets(of_strings(map(question, samples)), seen_table(), SHINGLE))
    about: dict[tuple[str, str], list[str]] = defaultdict(list)
    for sample in samples:
        if sample.references:
            place = sample.metadata.get("document"), sample.metadata.get("sha256")
            about[str(place[0]), str(place[1])].append(sample.id)
    overlaps: dict[tuple[str, str], Overlap] = {}
    read = 0
    for text in texts:
        read += 1
        words = seen_tokens(text.text)
        found = [(one.item.sample, "copied") for one in index.repeated(text.text, words)]
        if text.document is None:
            near = asked.jaccards(np.unique(grams(words.hashes, SHINGLE))) >= NEAR
            found += [(samples[number].id, "near") for number in np.flatnonzero(near).tolist()]
        else:
            key = text.document.path, text.document.sha256
            found += [(name, "document") for name in about.get(key, ())]
        for name, how in found:
            overlaps.setdefault((name, how), Overlap(name, how, text.where))
    too_short = sum(index.too_short.values())
    return Contamination(tuple(overlaps.values()), read, tuple(missing), too_short)


def question(sample: Sample) -> str:
    """What is asked: the last message of the conversation."""
    return sample.conversation[-1].content if sample.conversation else ""
