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
    atomic_replace,
    digest,
    produce,
    record,
)
from groundup.documents import Document, Rejected, fingerprint_folder, read_folder

from ..dedup.in_memory import (
    DedupOutcome,
    RemovedDocument,
    remove_exact,
    remove_near,
    remove_overlapping,
)
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
    documents = _verify_hashes(read_folder(source, suffixes=suffixes), dict(hashes))
    return produce(
        out,
        kind="corpus",
        stage="corpus",
        version=3,
        config=config,
        parents={},
        write=lambda draft: write_corpus(draft, documents, config),
    )


def _verify_hashes(
    documents: Iterable[Document | Rejected], hashes: Mapping[str, str]
) -> Iterator[Document | Rejected]:
    """Yield documents; DataError naming a file that changed after it was hashed."""
    missing = dict(hashes)
    for one in documents:
        was = missing.pop(one.path, "")
        if not was or isinstance(one, Document) and one.sha256 != was:
            raise DataError(_changed_message(one.path))
        yield one
    for path in missing:
        raise DataError(_changed_message(path))


def _changed_message(path: str) -> str:
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
    found, removed = _filter_documents(documents, config.min_chars)
    kept = remove_exact(found)
    removed += kept.removed
    if not kept.kept:
        raise DataError(_empty_corpus_message(removed))
    splits = _split_documents(kept.kept, config)
    if config.near_duplicate_threshold > 0:
        splits, near = _remove_near_duplicates(splits, config)
        removed += near
    if not splits["train"]:
        raise DataError(
            f"No document is left to train on ({len(splits['validation'])} validation, "
            f"{len(splits['test'])} test, removed: {_count_reasons(removed)}); add documents, or "
            f"lower "
            "validation_share and test_share."
        )
    for name in SPLITS:
        _write_lines(draft.file(f"{name}.jsonl"), (d.to_json() for d in splits[name]))
    rows = sorted(removed)
    _write_lines(
        draft.file("removed.jsonl"),
        (json.dumps(row._asdict(), ensure_ascii=False) for row in rows),
    )
    _log_summary(splits, rows)
    draft.numbers |= {
        "documents": {name: len(splits[name]) for name in SPLITS},
        "bytes": {name: sum(len(d.text.encode()) for d in splits[name]) for name in SPLITS},
        "removed": dict(sorted(Counter(row.reason for row in rows).items())),
    }


def _log_summary(
    splits: Mapping[Split, Sequence[Document]], removed: Sequence[RemovedDocument]
) -> None:
    """Log what the corpus contains and what was removed."""
    record.log(", ".join(f"{len(splits[name]):,} {name}" for name in SPLITS) + " documents")
    if removed:
        record.log(f"removed: {_count_reasons(removed)} (listed in removed.jsonl)")


def _filter_documents(documents: Iterable[Document | Rejected], min_chars: int) -> DedupOutcome:
    """Separate usable documents from rejected files and short documents.

    Raises DataError if two different documents have the same path.
    """
    found, removed, seen = [], [], {}
    for document in documents:
        if isinstance(document, Rejected):
            removed.append(
                RemovedDocument(document.path, document.reason, details=document.details)
            )
            continue
        if seen.setdefault(document.path, document.sha256) != document.sha256:
            raise DataError(
                f"Two different documents have the path {document.path}; paths must be unique."
            )
        length = len(document.text.strip())
        if length < min_chars:
            details = f"{length} characters; min_chars={min_chars}"
            removed.append(RemovedDocument(document.path, "too short", details=details))
        else:
            found.append(document)
    return DedupOutcome(found, removed)


def _split_documents(
    documents: Sequence[Document], config: CorpusConfig
) -> dict[Split, list[Document]]:
    """Documents by split, each in path order."""
    limit = config.held_out_limit or sys.maxsize
    paths = [d.path for d in documents if len(d.text.encode()) < limit]
    place = split_paths(paths, config.validation_share, config.test_share, config.seed)
    return {name: [d for d in documents if place.get(d.path, "train") == name] for name in SPLITS}


def _remove_near_duplicates(
    splits: Mapping[Split, Sequence[Document]], config: CorpusConfig
) -> tuple[dict[Split, list[Document]], list[RemovedDocument]]:
    """Remove near-duplicates within splits and across them: test first, then validation, train."""
    held_out: list[Document] = []
    left: dict[Split, list[Document]] = {}
    removed: list[RemovedDocument] = []
    for name in ("test", "validation", "train"):
        near = remove_near(splits[name], held_out, config.near_duplicate_threshold, config.seed)
        kept = remove_overlapping(near.kept, held_out, config.overlap_threshold)
        left[name] = kept.kept
        removed += [*near.removed, *kept.removed]
        held_out += kept.kept
    return left, removed


def _empty_corpus_message(removed: Sequence[RemovedDocument]) -> str:
    """Error message for a corpus without documents."""
    if not removed:
        return (
            "The source has no files to read; expected text (.txt, .rst), Markdown, HTML or Python "
            "files; check the folder, or set `suffixes`."
        )
    first = removed[0]
    return (
        f"None of the source's {len(removed)} files can be used: {_count_reasons(removed)}; the "
        f"first is "
        f"{first.path} ({first.details or first.reason}). Add UTF-8 text, Markdown, HTML or Python."
    )


def _count_reasons(removed: Sequence[RemovedDocument]) -> str:
    """Count removals by reason, the most frequent first.

    >>> reasons = {"a": "empty", "b": "binary", "c": "empty"}
    >>> _count_reasons([RemovedDocument(*row) for row in reasons.items()])
    '2 empty, 1 binary'
    """
    counts = Counter(row.reason for row in removed).most_common()
    return ", ".join(f"{count} {reason}" for reason, count in counts) or "nothing"


def _write_lines(path: Path, lines: Iterable[str]) -> None:
    """Write lines with a final newline each, atomically."""
    with atomic_replace(path) as temporary, open(temporary, "wb") as file:
        for line in lines:
            file.write(line.encode("utf-8") + b"\n")
