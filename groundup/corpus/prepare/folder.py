"""A small corpus from a folder, in the files that `prepare` writes: see write.py.

In order: rejected files are recorded; short documents and exact duplicates are removed; the rest is
split by path; near-duplicates are removed, from train also those of held-out documents. What is
equal, similar and kept is what dedup/ defines for the steps of `prepare`, with digits distinguished
and enough bands to miss almost no pair. Those steps know no splits, while here held-out documents
are kept first, so that none is trained on. The result is independent of the documents' order. All
documents are in memory: for collections of gigabytes, see stage.py.
"""

import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Annotated

import numpy as np
from pydantic import Field

from groundup.core import (
    Artifact,
    Config,
    ConfigError,
    DataError,
    Draft,
    Unhashed,
    digest,
    produce,
    record,
)
from groundup.documents import (
    NamedStep,
    ReadConfig,
    Record,
    Rejected,
    StepResult,
    fingerprint_folder,
    read_folder,
    record_id,
)

from ..dedup.exact import REASON as EXACT
from ..dedup.exact import content_hash, resolve_stars
from ..dedup.minhash import REASON as NEAR
from ..dedup.minhash import SHINGLE_TOKENS, similar_pairs
from ..dedup.sketch import SetIndex, fold_table, pack_strings, shingle_sets, split_sets
from ..engine.job import apply_steps, count_read, precomputed, put_rejected
from ..engine.run import RunResult
from ..engine.shards import open_writer
from ..split import SPLITS, Split, split_paths
from .pipeline import PipelineSource
from .write import SplitSink, SplitSinkConfig, split_key, write_corpus_files

SOURCE = "documents"
"""Name of the only source."""
MIN_SHINGLES = 32
"""Shorter texts, such as a licence line, may be contained in another by convention."""
Results = dict[str, StepResult]
"""Why documents are removed, by id."""
Kept = tuple[list[Record], Results]
"""Documents in path order, and why the others are removed."""


class CorpusConfig(Config):
    """Settings of a corpus from a folder."""

    validation_share: float = Field(default=0.05, ge=0, lt=1)
    """Share of documents for validation, used during training."""
    test_share: float = Field(default=0.05, ge=0, lt=1)
    """Share of documents for the final test."""
    held_out_limit: int = Field(default=0, ge=0)
    """Documents of at least this many bytes always train; 0 means no limit. One long document would
    dominate a small test and make its interval over documents meaningless."""
    near_duplicate_threshold: float = Field(default=0.8, ge=0, le=1)
    """Minimum Jaccard similarity of word 5-grams of near-duplicates; 0 keeps all."""
    overlap_threshold: float = Field(default=0.5, gt=0, le=1)
    """Share of the shorter text's 5-grams, in common with a held-out document, above which a
    training document is removed."""
    min_chars: int = Field(default=16, ge=1)
    """Minimum length in characters, without surrounding white space."""
    seed: int = 0
    """Seed of the split and of MinHash."""
    suffixes: tuple[Annotated[str, Field(pattern=r"^(\..+)?$")], ...] = ()
    """File suffixes to read, such as .md; empty means every file that has text."""
    read: Annotated[ReadConfig, Unhashed()] = ReadConfig()
    """Which files are read."""
    source_digest: str = ""
    """Hash of the source's paths and contents, and of `read`; filled in by the stage."""


def corpus(config: CorpusConfig, source: Path, out: Path) -> Artifact:
    """Read every file of a folder that has text, as `groundup index` does, for training.

    HTML, PDF, EPUB, docx, odt, notebooks, LaTeX, mails, and any file of plain text: Markdown, CSV,
    YAML, logs, code of any language. What is left out is counted by reason, and so is what is
    removed: short documents, duplicates, and what overlaps held-out documents.

    source  folder of documents, read recursively

    Raises DataError if `source` is not a folder or has no usable file, and ConfigError if `out` is
    inside it, as the corpus would become its own input.
    """
    if Path(out).resolve().is_relative_to(Path(source).resolve()):
        raise ConfigError(f"{out} is inside the source {source}; choose an --out outside of it.")
    suffixes = config.suffixes or None
    hashes = list(fingerprint_folder(source, config.read, suffixes=suffixes))
    content = digest([hashes, config.read.to_dict()])
    config = config.model_copy(update={"source_digest": content})
    documents = read_folder(source, config.read, suffixes=suffixes, fingerprints=dict(hashes))
    return produce(
        out,
        kind="corpus",
        stage="corpus",
        version=5,
        config=config,
        parents={},
        write=lambda draft: write_corpus(draft, documents, config),
    )


def write_corpus(
    draft: Draft, documents: Iterable[Record | Rejected], config: CorpusConfig
) -> None:
    """Write a corpus of documents from any source; used by `corpus` and by recipes.

    Sets the draft's numbers: documents and bytes of text (UTF-8) by split, removals by reason.
    Raises DataError if no document is left.
    """
    found, rejected = _sort_documents(documents)
    short = _short_documents(found, config.min_chars)
    if len(short) == len(found):
        few = (Rejected(d.path, short[d.id].reason, short[d.id].details) for d in found)
        raise DataError(_empty_corpus_message(sorted((*rejected, *few))))
    rest, copies = _remove_exact([document for document in found if document.id not in short])
    splits = _split_documents(rest, config)
    near = _remove_near_duplicates(splits, config) if config.near_duplicate_threshold > 0 else {}
    steps = {"01 short": short, "02 exact": copies, "03 near": near}
    named = [NamedStep(name, precomputed(results)) for name, results in steps.items()]
    places: dict[str, Split] = {
        split_key(SOURCE, d.path, ()): split for split in SPLITS for d in splits[split]
    }
    sink, folder = SplitSink(SplitSinkConfig(explicit_splits=places)), draft.scratch / "shards"
    folder.mkdir(exist_ok=True)
    with open_writer(folder, 0) as writer:
        for file in rejected:
            put_rejected(file, SOURCE, writer)
        for document in found:
            count_read(document, writer.counters)
            for kept in apply_steps(named, document, writer):
                for split, row in sink(kept, writer.counters):
                    writer.put(split, row)
        run = RunResult((folder,), ((writer.finish(),),), (SOURCE,))
    write_corpus_files(draft, run, [PipelineSource(name=SOURCE, path=".")], [*steps])
    counts, left_out = draft.numbers["documents"], Counter(file.reason for file in rejected)
    record.log(", ".join(f"{counts[name]:,} {name}" for name in SPLITS) + " documents")
    if left_out:
        record.log(f"left out: {_format_left_out(rejected)}")
    if reasons := Counter(draft.numbers["removed"]) - left_out:
        said = _format_counts(reasons)
        record.log(f"dropped: {said} (listed by: groundup corpus report {draft.path})")


def _sort_documents(
    documents: Iterable[Record | Rejected],
) -> tuple[list[Record], list[Rejected]]:
    """Documents as records of the corpus, and rejected files, both by path.

    Raises DataError if two documents have the same path.
    """
    found: dict[str, Record] = {}
    rejected: list[Rejected] = []
    for one in documents:
        if isinstance(one, Rejected):
            rejected.append(one)
        elif one.path in found:
            raise DataError(f"Two documents have the path {one.path}; paths must be unique.")
        else:
            found[one.path] = replace(one, id=record_id(SOURCE, one.path), source=SOURCE)
    return [found[path] for path in sorted(found)], sorted(rejected)


def _short_documents(documents: Sequence[Record], min_chars: int) -> Results:
    short = Results()
    for document in documents:
        if (length := len(document.text.strip())) < min_chars:
            details = f"{length} characters; min_chars={min_chars}"
            short[document.id] = StepResult("too short", None, details)
    return short


def _remove_exact(documents: Sequence[Record]) -> Kept:
    """Keep the first document of each content: white space and Unicode forms are ignored."""
    survivors: dict[bytes, Record] = {}
    kept, removed = [], Results()
    for document in documents:
        content = content_hash(document.text)
        if content and (first := survivors.setdefault(content, document)) is not document:
            removed[document.id] = StepResult(EXACT, None, f"{first.id} is kept")
        else:
            kept.append(document)
    return kept, removed


def _split_documents(
    documents: Sequence[Record], config: CorpusConfig
) -> dict[Split, list[Record]]:
    limit = config.held_out_limit or sys.maxsize
    paths = [d.path for d in documents if len(d.text.encode()) < limit]
    place = split_paths(paths, config.validation_share, config.test_share, config.seed)
    return {name: [d for d in documents if place.get(d.path, "train") == name] for name in SPLITS}


def _remove_near_duplicates(
    splits: Mapping[Split, Sequence[Record]], config: CorpusConfig
) -> Results:
    """Near-duplicates within splits and across them: test is kept first, then validation, train."""
    held_out: list[Record] = []
    removed = Results()
    for name in ("test", "validation", "train"):
        held_out.sort(key=lambda document: document.path)
        rest, near = _remove_near(splits[name], held_out, config)
        rest, overlapping = _remove_overlapping(rest, held_out, config.overlap_threshold)
        removed |= near | overlapping
        held_out += rest
    return removed


def _remove_near(
    documents: Sequence[Record], held_out: Sequence[Record], config: CorpusConfig
) -> Kept:
    """Drop near-duplicates of held-out documents, which stay, and of kept documents before them."""
    names = [*held_out, *documents]
    fixed = len(held_out)
    texts = [document.text for document in names]
    pairs, values = similar_pairs(texts, config.near_duplicate_threshold, config.seed)
    is_droppable = pairs[:, 1] >= fixed
    decided = resolve_stars(pairs[is_droppable], values[is_droppable])
    rows = (decided.dropped.tolist(), decided.kept.tolist(), decided.similarity.tolist())
    removed = {
        names[number].id: StepResult(
            f"{NEAR} of held-out" if of < fixed else NEAR, value, f"{names[of].id} is kept"
        )
        for number, of, value in zip(*rows, strict=True)
    }
    return [document for document in documents if document.id not in removed], removed


def _remove_overlapping(
    documents: Sequence[Record], held_out: Sequence[Record], threshold: float
) -> Kept:
    """Drop documents largely contained in a held-out document, or containing one.

    The Jaccard similarity of a page and a book that contains it is low, yet training on the book
    leaks the page. So the shared 5-grams of every pair are divided by those of the shorter text.
    """
    if not held_out:
        return [*documents], {}
    held_out_sets, own = (
        shingle_sets(pack_strings(d.text for d in group), fold_table(True, False), SHINGLE_TOKENS)
        for group in (held_out, documents)
    )
    index, kept, removed = SetIndex(held_out_sets), [], Results()
    for document, items in zip(documents, split_sets(own), strict=True):
        shorter = np.minimum(index.sizes, len(items))
        share = index.intersection_sizes(items) / np.maximum(shorter, 1) * (shorter >= MIN_SHINGLES)
        most = int(share.argmax())
        if share[most] < threshold:
            kept.append(document)
            continue
        details = f"{held_out[most].id} is held out and shares this part of the shorter's 5-grams"
        removed[document.id] = StepResult("overlaps held-out", float(share[most]), details)
    return kept, removed


def _empty_corpus_message(removed: Sequence[Rejected]) -> str:
    if not removed:
        return (
            "The source has no files to read; expected text, HTML, PDF, EPUB, docx, odt, mails or "
            "code; check the folder."
        )
    first = removed[0]
    counts = _format_counts(Counter(row.reason for row in removed))
    return (
        f"None of the source's {len(removed)} files can be used: {counts}; the first is "
        f"{first.path} ({first.details or first.reason}). Add text, HTML, PDF, docx, mails or code."
    )


def _format_left_out(rejected: Sequence[Rejected]) -> str:
    """Counts by reason, and of each by the files' suffixes."""
    suffixes: dict[str, Counter[str]] = {}
    for file in rejected:
        path = PurePosixPath(file.path)
        suffix = path.suffix.lower().partition("#")[0] or path.name
        suffixes.setdefault(file.reason, Counter())[suffix] += 1
    rows = sorted(suffixes.items(), key=lambda row: -row[1].total())
    shown = [(why, n.total(), ", ".join(s for s, _ in n.most_common(4))) for why, n in rows]
    return "; ".join(f"{count} {why} ({names})" for why, count, names in shown)


def _format_counts(reasons: Mapping[str, int]) -> str:
    rows = sorted(reasons.items(), key=lambda row: -row[1])
    return ", ".join(f"{count} {reason}" for reason, count in rows)
