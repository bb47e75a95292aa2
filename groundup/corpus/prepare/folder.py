"""A small corpus from a folder: three files of documents and a list of removals.

    train.jsonl  validation.jsonl  test.jsonl     one document a line (Document.to_json), by path
    removed.jsonl                                 path, reason, of (document kept instead), details

In order: rejected files are recorded; short documents and exact duplicates are removed; the rest is
split by path; near-duplicates are removed, from train also those of held-out documents
(dedup/in_memory.py). All documents are in memory: for collections of gigabytes, see stage.py.
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
    """File suffixes to read, such as .md; empty means every known kind."""
    source_digest: str = ""
    """Hash of the source's paths and contents; filled in by the stage."""


def corpus(config: CorpusConfig, source: Path, out: Path) -> Artifact:
    """Read a folder of text, Markdown, HTML and Python files and prepare them for training.

    source  folder of documents, read recursively

    Raises DataError if `source` is not a folder or has no usable file, and ConfigError if `out` is
    inside it, as the corpus would become its own input.
    """
    if Path(out).resolve().is_relative_to(Path(source).resolve()):
        raise ConfigError(f"{out} is inside the source {source}; choose an --out outside of it.")
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
    """Yield documents; DataError naming a file that changed after it was hashed."""
    missing = dict(hashes)
    for one in documents:
        was = missing.pop(one.path, "")
        if not was or isinstance(one, Document) and one.sha256 != was:
            raise DataError(changed(one.path))
        yield one
    for path in missing:
        raise DataError(changed(path))


def changed(path: str) -> str:
    """Error message for a file that changed between hashing and reading."""
    return (
        f"{path} changed while the corpus was made from it; wait until it is final and run again."
    )


def write_corpus(
    draft: Draft, documents: Iterable[Document | Rejected], config: CorpusConfig
) -> None:
    """Write a corpus of documents from any source; used by `corpus` and by recipes.

    Sets the draft's numbers: documents and bytes of text (UTF-8) by split, removals by reason.
    Raises DataError if no document is left.
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
    """Log what the corpus contains and what was removed."""
    record.say(", ".join(f"{len(splits[name]):,} {name}" for name in SPLITS) + " documents")
    if removed:
        record.say(f"removed: {tally(removed)} (listed in removed.jsonl)")


def sift(documents: Iterable[Document | Rejected], min_chars: int) -> Kept:
    """Separate usable documents from rejected files and short documents.

    Raises DataError if two different documents have the same path.
    """
    found, removed, seen = [], [], {}
    for document in documents:
        if isinstance(document, Rejected):
            removed.append(Removed(document.path, document.reason, details=document.details))
            continue
        if seen.setdefault(document.path, document.sha256) != document.sha256:
            raise DataError(
                f"Two different documents have the path {document.path}; paths must be unique."
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
    """Documents by split, each in path order."""
    limit = config.held_out_limit or sys.maxsize
    paths = [d.path for d in documents if len(d.text.encode()) < limit]
    place = split_paths(paths, config.validation_share, config.test_share, config.seed)
    return {name: [d for d in documents if place.get(d.path, "train") == name] for name in SPLITS}


def protect(
    splits: Mapping[Split, Sequence[Document]], config: CorpusConfig
) -> tuple[dict[Split, list[Document]], list[Removed]]:
    """Remove near-duplicates within splits and across them: test first, then validation, train."""
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
    """Error message for a corpus without documents."""
    if not removed:
        return (
            "The source has no files to read; expected text (.txt, .rst), Markdown, HTML or Python "
            "files; check the folder, or set `suffixes`."
        )
    first = removed[0]
    return (
        f"None of the source's {len(removed)} files can be used: {tally(removed)}; the first is "
        f"{first.path} ({first.details or first.reason}). Add UTF-8 text, Markdown, HTML or Python."
    )


def tally(removed: Sequence[Removed]) -> str:
    """Count removals by reason, the most frequent first.

    >>> tally([Removed("a", "empty"), Removed("b", "binary"), Removed("c", "empty")])
    '2 empty, 1 binary'
    """
    counts = Counter(row.reason for row in removed).most_common()
    return ", ".join(f"{count} {reason}" for reason, count in counts) or "nothing"


def write_lines(path: Path, lines: Iterable[str]) -> None:
    """Write lines with a final newline each, atomically."""
    with replacing(path) as temporary, open(temporary, "wb") as file:
        for line in lines:
            file.write(line.encode("utf-8") + b"\n")
