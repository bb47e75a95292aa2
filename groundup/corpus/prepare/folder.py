"""A small corpus from a folder: three files of documents and a list of removals.

    train.jsonl  validation.jsonl  test.jsonl     one document a line (Record.to_json), by path
    removed.jsonl                                 path, reason, of (document kept instead), details

In order: rejected files are recorded; short documents and exact duplicates are removed; the rest is
split by path; near-duplicates are removed, from train also those of held-out documents. What is
equal, similar and kept is what dedup/ defines for the steps of `prepare`, with digits distinguished
and enough bands to miss almost no pair. Those steps know no splits, while here held-out documents
are kept first, so that none is trained on. The result is independent of the documents' order. All
documents are in memory: for collections of gigabytes, see stage.py.
"""

import json
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, NamedTuple

import numpy as np
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
from groundup.documents import Record, Rejected, fingerprint_folder, read_folder

from ..dedup.clusters import resolve_stars
from ..dedup.exact import REASON as EXACT
from ..dedup.exact import content_hash
from ..dedup.minhash import REASON as NEAR
from ..dedup.minhash import SHINGLE_TOKENS, similar_pairs
from ..dedup.sketch import SetIndex, fold_table, pack_strings, shingle_sets, split_sets
from ..split import SPLITS, Split, split_paths

MIN_SHINGLES = 32
"""Shorter texts, such as a licence line, may be contained in another by convention."""
Kept = tuple[list[Record], list["_Removal"]]
"""Documents in path order, and those removed."""


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


class _Removal(NamedTuple):
    path: str
    reason: str
    """Short and stable, such as `exact duplicate`; removals are counted by reason."""
    of: str = ""
    """Path of the document kept instead, if any."""
    details: str = ""


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
    documents: Iterable[Record | Rejected], hashes: Mapping[str, str]
) -> Iterator[Record | Rejected]:
    """Yield documents; DataError naming a file that changed after it was hashed."""
    missing = dict(hashes)
    for one in documents:
        was = missing.pop(one.path, "")
        if not was or isinstance(one, Record) and one.sha256 != was:
            missing = {one.path: was}
            break
        yield one
    for path in missing:
        raise DataError(f"{path} changed while it was read; wait until it is final and run again.")


def write_corpus(
    draft: Draft, documents: Iterable[Record | Rejected], config: CorpusConfig
) -> None:
    """Write a corpus of documents from any source; used by `corpus` and by recipes.

    Sets the draft's numbers: documents and bytes of text (UTF-8) by split, removals by reason.
    Raises DataError if no document is left.
    """
    found, removed = _filter_documents(documents, config.min_chars)
    kept, copies = _remove_exact(found)
    removed += copies
    if not kept:
        raise DataError(_empty_corpus_message(removed))
    splits = _split_documents(kept, config)
    if config.near_duplicate_threshold > 0:
        splits, near = _remove_near_duplicates(splits, config)
        removed += near
    if not splits["train"]:
        raise DataError(
            f"No document is left to train on (validation: {len(splits['validation'])}, test: "
            f"{len(splits['test'])}, removed: {_count_reasons(removed)}); add documents, or lower "
            "validation_share and test_share."
        )
    for name in SPLITS:
        _write_lines(draft.file(f"{name}.jsonl"), (d.to_json() for d in splits[name]))
    rows = [json.dumps(row._asdict(), ensure_ascii=False) for row in sorted(removed)]
    _write_lines(draft.file("removed.jsonl"), rows)
    record.log(", ".join(f"{len(splits[name]):,} {name}" for name in SPLITS) + " documents")
    if removed:
        record.log(f"removed: {_count_reasons(removed)} (listed in removed.jsonl)")
    draft.numbers |= {
        "documents": {name: len(splits[name]) for name in SPLITS},
        "bytes": {name: sum(len(d.text.encode()) for d in splits[name]) for name in SPLITS},
        "removed": dict(sorted(Counter(row.reason for row in removed).items())),
    }


def _filter_documents(documents: Iterable[Record | Rejected], min_chars: int) -> Kept:
    """Usable documents, sorted by path and content, and rejected files and short documents.

    Raises DataError if two different documents have the same path.
    """
    found, removed, seen = [], [], {}
    for document in documents:
        if isinstance(document, Rejected):
            removed.append(_Removal(document.path, document.reason, details=document.details))
            continue
        if seen.setdefault(document.path, document.sha256) != document.sha256:
            raise DataError(
                f"Two different documents have the path {document.path}; paths must be unique."
            )
        length = len(document.text.strip())
        if length < min_chars:
            details = f"{length} characters; min_chars={min_chars}"
            removed.append(_Removal(document.path, "too short", details=details))
        else:
            found.append(document)
    return sorted(found, key=lambda document: (document.path, document.sha256)), removed


def _remove_exact(documents: Sequence[Record]) -> Kept:
    """Keep the first document of each content: white space and Unicode forms are ignored."""
    survivors: dict[bytes, Record] = {}
    kept, removed = [], []
    for document in documents:
        content = content_hash(document.text)
        if content and (first := survivors.setdefault(content, document)) is not document:
            removed.append(_Removal(document.path, EXACT, first.path))
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
) -> tuple[dict[Split, list[Record]], list[_Removal]]:
    """Remove near-duplicates within splits and across them: test first, then validation, train."""
    held_out: list[Record] = []
    left: dict[Split, list[Record]] = {}
    removed: list[_Removal] = []
    for name in ("test", "validation", "train"):
        held_out.sort(key=lambda document: document.path)
        kept, near = _remove_near(splits[name], held_out, config)
        left[name], overlapping = _remove_overlapping(kept, held_out, config.overlap_threshold)
        removed += [*near, *overlapping]
        held_out += left[name]
    return left, removed


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
        number: _Removal(
            names[number].path,
            f"{NEAR} of held-out" if of < fixed else NEAR,
            names[of].path,
            f"Jaccard similarity {value:.3f}",
        )
        for number, of, value in zip(*rows, strict=True)
    }
    return [d for n, d in enumerate(documents, fixed) if n not in removed], [*removed.values()]


def _remove_overlapping(
    documents: Sequence[Record], held_out: Sequence[Record], threshold: float
) -> Kept:
    """Drop documents largely contained in a held-out document, or containing one.

    The Jaccard similarity of a page and a book that contains it is low, yet training on the book
    leaks the page. So the shared 5-grams of every pair are divided by those of the shorter text.
    """
    if not held_out:
        return [*documents], []
    held_out_sets, own = (
        shingle_sets(pack_strings(d.text for d in group), fold_table(True, False), SHINGLE_TOKENS)
        for group in (held_out, documents)
    )
    index, kept, removed = SetIndex(held_out_sets), [], []
    for document, items in zip(documents, split_sets(own), strict=True):
        shorter = np.minimum(index.sizes, len(items))
        share = index.intersection_sizes(items) / np.maximum(shorter, 1) * (shorter >= MIN_SHINGLES)
        most = int(share.argmax())
        if share[most] < threshold:
            kept.append(document)
            continue
        details = f"{share[most]:.3f} of the shorter text's 5-grams are shared"
        removed.append(_Removal(document.path, "overlaps held-out", held_out[most].path, details))
    return kept, removed


def _empty_corpus_message(removed: Sequence[_Removal]) -> str:
    if not removed:
        return (
            "The source has no files to read; expected text (.txt, .rst), Markdown, HTML or Python "
            "files; check the folder, or set `suffixes`."
        )
    first = removed[0]
    return (
        f"None of the source's {len(removed)} files can be used: {_count_reasons(removed)}; the "
        f"first is {first.path} ({first.details or first.reason}). Add UTF-8 text, Markdown, HTML "
        "or Python."
    )


def _count_reasons(removed: Sequence[_Removal]) -> str:
    counts = Counter(row.reason for row in removed).most_common()
    return ", ".join(f"{count} {reason}" for reason, count in counts) or "nothing"


def _write_lines(path: Path, lines: Iterable[str]) -> None:
    with atomic_replace(path) as temporary, open(temporary, "wb") as file:
        for line in lines:
            file.write(line.encode("utf-8") + b"\n")
