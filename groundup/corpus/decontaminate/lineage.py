"""Contamination of a model: which samples of a test set occur in its training texts?

The training texts of an artifact are found by its lineage: the train splits of the corpora and
examples among its ancestors. A sample overlaps as

    document   it is about a document of a train split, by path and content
    copied     a training text contains a message or reference of it: see matching.py
    near       it is a near-duplicate of a training example's message: word 5-grams, Jaccard 0.8

An assistant for given documents is meant to train on them; a measurement on unseen documents must
not. Missing ancestors cannot be read and are reported.
"""

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from groundup.core import Artifact, DataError, Sample
from groundup.documents import Record

from ..dedup.minhash import SHINGLE_TOKENS
from ..dedup.sketch import SetIndex, ngram_hashes, pack_strings, shingle_sets
from ..split import read_split
from .testsets import NGRAM_WORDS, build_ngram_index, match_fold_table, match_tokens, sample_texts

NEAR_THRESHOLD = 0.8
OVERLAP_KINDS = {
    "document": "about a training document",
    "copied": f"{NGRAM_WORDS} consecutive words, or all of a shorter text, occur in training texts",
    "near": "near-duplicate of a training message",
}


class TrainingText(NamedTuple):
    """A training text."""

    origin: str
    """Artifact, and path of the document or line number."""
    text: str
    document: Record | None = None
    """None for a message of a training example."""


class SampleOverlap(NamedTuple):
    """A sample that overlaps with the training texts."""

    sample: str
    kind: str
    """document, copied or near."""
    where: str
    """The training text."""


class Contamination(NamedTuple):
    """Overlaps of a test set with the training texts of an artifact."""

    overlaps: tuple[SampleOverlap, ...]
    texts: int
    """Number of training texts read."""
    unread: tuple[str, ...]
    """Missing ancestors."""
    too_short: int
    """Number of samples whose texts are all too short to match."""

    def __str__(self) -> str:
        """One line per kind of overlap with the first samples, then what could not be checked."""
        lines = [f"{self.texts:,} training texts read"]
        for how, meaning in OVERLAP_KINDS.items():
            rows = [overlap for overlap in self.overlaps if overlap.kind == how]
            first = ", ".join(f"{row.sample} ({row.where})" for row in rows[:3])
            if rows:
                lines.append(f"{len(rows)} samples: {meaning}: {first}{' …' * (len(rows) > 3)}")
        if not self.overlaps:
            lines.append("no sample occurs in them")
        if self.too_short:
            lines.append(f"{self.too_short} samples are too short to match")
        return "\n".join(lines + [f"not checked, missing: {path}" for path in self.unread])


def find_contamination(samples: Sequence[Sample], against: Artifact) -> Contamination:
    """Compare samples with all training texts of an artifact and its ancestors.

    Raises DataError if there are none.
    """
    sources, unread = _training_sources(against)
    if not sources:
        missing = f"; missing: {', '.join(unread)}" if unread else ""
        raise DataError(
            f"{against.path} has neither a corpus nor examples in its lineage{missing}; pass a "
            "corpus, examples, or a model made from them."
        )
    texts = (text for source in sources for text in _read_training_texts(source))
    return _compare_samples(samples, texts, unread)


def _training_sources(artifact: Artifact) -> tuple[list[Artifact], list[str]]:
    waiting, seen = [artifact], {artifact.id}
    sources: list[Artifact] = []
    missing: list[str] = []
    for current in waiting:  # grows as parents are found
        if current.kind in ("corpus", "examples"):
            sources.append(current)
        for parent in current.parents:
            if parent.id in seen:
                continue
            seen.add(parent.id)
            if (opened := current.open_parent(parent)) is not None:
                waiting.append(opened)
            else:
                missing.append(f"{parent.name} {parent.path}")
    return sources, missing


def _read_training_texts(source: Artifact) -> Iterator[TrainingText]:
    name = source.path.name
    if source.kind == "corpus":
        for document in read_split(source, "train"):
            yield TrainingText(f"{name}: {document.path}", document.text, document)
        return
    path = source.file("train.jsonl")
    with open(path, encoding="utf-8", newline="\n") as file:
        for number, line in enumerate(file, start=1):
            try:
                contents = [str(turn["content"]) for turn in json.loads(line)["messages"]]
            except (ValueError, KeyError, TypeError) as error:
                raise DataError(f"{path}, line {number} is not an example ({error}).") from None
            for content in contents:
                yield TrainingText(f"{name}: line {number}", content)


class SampleMatcher:
    """Finds the samples that a text copies, or whose question a message nearly is."""

    def __init__(self, samples: Sequence[Sample]) -> None:
        self.ids = [sample.id for sample in samples]
        self.index = build_ngram_index(("", each.id, sample_texts(each)) for each in samples)
        last = pack_strings(s.conversation[-1].content if s.conversation else "" for s in samples)
        self.questions = SetIndex(shingle_sets(last, match_fold_table(), SHINGLE_TOKENS))

    def find(self, text: str, is_message: bool) -> list[tuple[str, str]]:
        """Id and kind of overlap of each sample found.

        >>> from groundup.core import Message
        >>> asked = Message("user", "When did the first ship of the line leave the harbour?")
        >>> matcher = SampleMatcher([Sample("1", (asked,))])
        >>> matcher.find("Tell me when did the first ship of the line leave the harbour", True)
        [('1', 'copied')]
        """
        words = match_tokens(text)
        found = [(match.item.sample, "copied") for match in self.index.find_matches(text, words)]
        if is_message:
            shingles = np.unique(ngram_hashes(words.hashes, SHINGLE_TOKENS))
            near = self.questions.jaccards(shingles) >= NEAR_THRESHOLD
            found += [(self.ids[number], "near") for number in np.flatnonzero(near).tolist()]
        return found


def _compare_samples(
    samples: Sequence[Sample], texts: Iterable[TrainingText], missing: Sequence[str] = ()
) -> Contamination:
    """Compare samples with training texts, one at a time."""
    matcher = SampleMatcher(samples)
    about: dict[tuple[str, str], list[str]] = defaultdict(list)
    for sample in samples:
        if sample.references:
            path, sha256 = (sample.metadata.get(name) for name in ("document", "sha256"))
            about[str(path), str(sha256)].append(sample.id)
    overlaps: dict[tuple[str, str], SampleOverlap] = {}
    read = 0
    for text in texts:
        read += 1
        found = matcher.find(text.text, is_message=text.document is None)
        if text.document is not None:
            key = text.document.path, text.document.sha256
            found += [(name, "document") for name in about.get(key, ())]
        for name, how in found:
            overlaps.setdefault((name, how), SampleOverlap(name, how, text.origin))
    too_short = sum(matcher.index.too_short.values())
    return Contamination(tuple(overlaps.values()), read, tuple(missing), too_short)
