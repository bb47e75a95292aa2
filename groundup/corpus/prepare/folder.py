"""A folder as a corpus: documents in, three files of documents out, and a list of what went.

    train.jsonl  validation.jsonl  test.jsonl     one document a line (Document.to_json), by path
    removed.jsonl                                 path, reason, of (what was kept instead), details

In this order: rejects are recorded, too short documents go, exact duplicates go, the rest is split
by path, near-duplicates go — from train also those of anything held out (dedup/in_memory.py). All
documents are held in memory: for collections of gigabytes, see stage.py.
"""

import json
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated

from pydantic import Field

from groundup.core import (
    Artifact,
    Config,
    ConfigError,
    DataError,
    Draft,
    digest,
    produce,
    record,
    replacing,
)
from groundup.documents import Document, Rejected, fingerprint_folder, read_folder

from ..dedup.in_memory import Kept, Removed, remove_exact, remove_near, remove_overlapping
from ..split import SPLITS, Split, split_paths


class CorpusConfig(Config):
    """How a collection of documents becomes a corpus."""

    validation_share: float = Field(default=0.05, ge=0, lt=1)
    """Share of documents for validation: looked at while training."""
    test_share: float = Field(default=0.05, ge=0, lt=1)
    """Share of documents for the test: looked at at the end."""
    held_out_limit: int = Field(default=0, ge=0)
    """Bytes from which a document always trains; 0 sets no limit. One long document would decide
    what a small test measures, and its interval over documents would mean nothing."""
    near_duplicate_threshold: float = Field(default=0.8, ge=0, le=1)
    """Jaccard similarity of word 5-grams from which documents count as duplicates; 0 keeps all."""
    overlap_threshold: float = Field(default=0.5, gt=0, le=1)
    """Share of the shorter text's 5-grams that a training document may have in common with a
    held-out one; above it, the training document goes."""
    min_chars: int = Field(default=16, ge=1)
    """Shortest document, in characters without the white space around it."""
    seed: int = 0
    """Seed of the split and of the search for near-duplicates."""
    suffixes: tuple[Annotated[str, Field(pattern=r"^(\..+)?$")], ...] = ()
    """Endings of the files to read, such as .md; none reads every kind that is known."""
    source_digest: str = ""
    """Hash of the source's paths and contents; filled in by the stage."""


def corpus(config: CorpusConfig, source: Path, out: Path) -> Artifact:
    """Read a folder of text, Markdown, HTML and Python files and prepare them for training.

    source  folder of documents; the folders in it are read too

    Raises DataError if `source` is no folder or nothing in it can be used, and ConfigError if `out`
    lies inside it: the corpus would become its own source.
    """
    if Path(out).resolve().is_relative_to(Path(source).resolve()):
        raise ConfigError(f"{out} lies inside the source {source}; choose an --out outside of it.")
    suffixes = config.suffixes or None
    hashes = list(fingerprint_folder(source, suffixes=suffixes))
    config = config.model_copy(update={"source_digest": digest(hashes)})
    documents = as_hashed(read_folder(source, suffixes=suffixes), dict(hashes))
    return produce(
        out,
        kind="corpus",
        stage="corpus",
        version=3,
        config=config,
        parents={},
        write=lambda draft: write_corpus(draft, documents, config),
    )


def as_hashed(
    documents: Iterable[Document | Rejected], hashes: Mapping[str, str]
) -> Iterator[Document | Rejected]:
    """Yield documents; DataError naming one whose file is not what was hashed before."""
    missing = dict(hashes)
    for one in documents:
        was = missing.pop(one.path, "")
        if not was or isinstance(one, Document) and one.sha256 != was:
            raise DataError(changed(one.path))
        yield one
    for path in missing:
        raise DataError(changed(path))


def changed(path: str) -> str:
    """The error for a file that was written to between two looks at it."""
    return f"{path} changed while the corpus was made from it; let it rest and run again."


def write_corpus(
    draft: Draft, documents: Iterable[Document | Rejected], config: CorpusConfig
) -> None:
    """Write a corpus of any source's documents; the body of `corpus` and of recipes.

    The draft's numbers become documents and bytes (UTF-8, of the text) by split, and removals
    counted by reason. Raises DataError if no document is left, telling what was found.
    """
    found, removed = sift(documents, config.min_chars)
    kept = remove_exact(found)
    removed += kept.removed
    if not kept.documents:
        raise DataError(nothing_left(removed))
    splits = split_documents(kept.documents, config)
    if config.near_duplicate_threshold > 0:
        splits, near = protect(splits, config)
        removed += near
    if not splits["train"]:
        raise DataError(
            f"No document is left to train on ({len(splits['validation'])} validation, "
            f"{len(splits['test'])} test, removed: {tally(removed)}); add documents, or lower "
            "validation_share and test_share."
        )
    for name in SPLITS:
        write_lines(draft.file(f"{name}.jsonl"), (d.to_json() for d in splits[name]))
    rows = sorted(removed)
    write_lines(
        draft.file("removed.jsonl"),
        (json.dumps(row._asdict(), ensure_ascii=False) for row in rows),
    )
    tell(splits, rows)
    draft.numbers |= {
        "documents": {name: len(splits[name]) for name in SPLITS},
        "bytes": {name: sum(len(d.text.encode()) for d in splits[name]) for name in SPLITS},
        "removed": dict(sorted(Counter(row.reason for row in rows).items())),
    }


def tell(splits: Mapping[Split, Sequence[Document]], removed: Sequence[Removed]) -> None:
    """Say what the corpus holds and what was left out."""
    record.say(", ".join(f"{len(splits[name]):,} {name}" for name in SPLITS) + " documents")
    if removed:
        record.say(f"left out: {tally(removed)} (listed in removed.jsonl)")


def sift(documents: Iterable[Document | Rejected], min_chars: int) -> Kept:
    """Part the documents that are long enough from rejects and short ones.

    Raises DataError if two different documents have one path.
    """
    found, removed, seen = [], [], {}
    for document in documents:
        if isinstance(document, Rejected):
            removed.append(Removed(document.path, document.reason, details=document.details))
            continue
        if seen.setdefault(document.path, document.sha256) != document.sha256:
            raise DataError(
                f"Two different documents have the path {document.path}; give each its own."
            )
        length = len(document.text.strip())
        if length < min_chars:
            details = f"{length} characters; min_chars={min_chars}"
            removed.append(Removed(document.path, "too short", details=details))
        else:
            found.append(document)
    return Kept(found, removed)


def split_documents(
    documents: Sequence[Document], config: CorpusConfig
) -> dict[Split, list[Document]]:
    """Documents by split, each in the order of paths."""
    limit = config.held_out_limit or sys.maxsize
    paths = [d.path for d in documents if len(d.text.encode()) < limit]
    place = split_paths(paths, config.validation_share, config.test_share, config.seed)
    return {name: [d for d in documents if place.get(d.path, "train") == name] for name in SPLITS}


def protect(
    splits: Mapping[Split, Sequence[Document]], config: CorpusConfig
) -> tuple[dict[Split, list[Document]], list[Removed]]:
    """Remove near-duplicates so that no split holds one of a split measured more strictly."""
    held_out: list[Document] = []
    left: dict[Split, list[Document]] = {}
    removed: list[Removed] = []
    for name in ("test", "validation", "train"):
        near = remove_near(splits[name], held_out, config.near_duplicate_threshold, config.seed)
        kept = remove_overlapping(near.documents, held_out, config.overlap_threshold)
        left[name] = kept.documents
        removed += [*near.removed, *kept.removed]
        held_out += kept.documents
    return left, removed


def nothing_left(removed: Sequence[Removed]) -> str:
    """One line for a corpus without documents."""
    if not removed:
        return (
            "The source has no files to read; expected text (.txt, .rst), Markdown, HTML or Python "
            "files. Check the folder, or name other endings in `suffixes`."
        )
    first = removed[0]
    return (
        f"None of the source's {len(removed)} files can be used: {tally(removed)}; the first is "
        f"{first.path} ({first.details or first.reason}). Add UTF-8 text, Markdown, HTML or Python."
    )


def tally(removed: Sequence[Removed]) -> str:
    """Removals counted by reason, the most frequent first.

    >>> tally([Removed("a", "empty"), Removed("b", "binary"), Removed("c", "empty")])
    '2 empty, 1 binary'
    """
    counts = Counter(row.reason for row in removed).most_common()
    return ", ".join(f"{count} {reason}" for reason, count in counts) or "nothing"


def write_lines(path: Path, lines: Iterable[str]) -> None:
    """Write lines ending in a bare newline, atomically."""
    with replacing(path) as temporary, open(temporary, "wb") as file:
        for line in lines:
            file.write(line.encode("utf-8") + b"\n")
