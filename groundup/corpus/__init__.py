"""Corpus: which documents may be trained on, which measure, and what was left out and why?"""

from .dedup import (
    Kept,
    Pair,
    Removed,
    jaccard,
    minhash,
    near_duplicates,
    remove_exact,
    remove_near,
    remove_overlapping,
    shingles,
)
from .prepare import CorpusConfig, corpus, read_documents, read_split, write_corpus
from .split import SPLITS, Split, split_paths

__all__ = [
    "SPLITS",
    "CorpusConfig",
    "Kept",
    "Pair",
    "Removed",
    "Split",
    "corpus",
    "jaccard",
    "minhash",
    "near_duplicates",
    "read_documents",
    "read_split",
    "remove_exact",
    "remove_near",
    "remove_overlapping",
    "shingles",
    "split_paths",
    "write_corpus",
]
