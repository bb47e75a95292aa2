"""Token shards: the documents of a split as one memory-mapped array of ids.

    train.bin          ids, little-endian u16 (u32 from 65,537 ids on); each document ends with
                       `<|endoftext|>`, or the end token of an imported tokenizer
    train.ends.npy     u64, one past each document's end
    train.bytes.npy    u64, UTF-8 bytes of each document's text, for bits per byte
    train.names.json   each document's path
    tokens.json        number type, tokenizer digest, and documents, tokens and bytes by split

An imported tokenizer may also put ids before each document, such as Gemma's `<bos>`. Checksums are
in the manifest. Batches are made in loader.py.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int, Shaped, UInt

from groundup.core import (
    Artifact,
    Config,
    ConfigError,
    DataError,
    Draft,
    produce,
    record,
    write_json,
)

from .bpe import DOCUMENT_END, well_formed
from .compiled import batch_by_size
from .fast import FastTokenizer
from .imported.opening import load_tokenizer
from .imported.tokenizer import ImportedTokenizer, SpecialFrame

BATCH_CHARACTERS = 2**20
"""Characters encoded per batch, on all cores if the tokenizer supports it."""
END_ROLES = ("eos", "sep")
"""Roles of the token that ends documents of an imported tokenizer, in order of preference."""


class TokensConfig(Config):
    """Which documents to encode."""

    splits: tuple[str, ...] = ("train", "validation", "test")
    """Splits of the corpus."""


class DocumentText(NamedTuple):
    """A document to encode."""

    name: str
    text: str


def encode_corpus(
    config: TokensConfig, corpus: Artifact, tokenizer: Artifact, out: Path
) -> Artifact:
    """Encode a corpus into shards of token ids.

    tokenizer  a tokenizer, or a model that contains one; imported ones too

    Raises ConfigError for a split that the corpus lacks, or a tokenizer without an end token.
    """
    from groundup.corpus import read_split  # imported here because reading shards needs no corpus

    def texts(split: Any, advance: Callable[[float], None]) -> Iterator[DocumentText]:
        for document in read_split(corpus, split):
            yield DocumentText(document.path, document.text)
            advance(len(document.text.encode("utf-8")))

    def write(draft: Draft) -> None:
        sizes = corpus.numbers.get("bytes", {})
        total = sum(sizes.get(split, 0) for split in config.splits)
        with record.progress("tokens", total, "bytes") as bar:
            splits = {split: texts(split, bar.advance) for split in config.splits}
            write_tokens(draft, load_tokenizer(tokenizer.path), splits)

    parents = {"corpus": corpus, "tokenizer": tokenizer}
    return produce(
        out, kind="tokens", stage="tokens", version=1, config=config, parents=parents, write=write
    )


def write_tokens(
    draft: Draft,
    tokenizer: FastTokenizer | ImportedTokenizer,
    splits: Mapping[str, Iterable[DocumentText]],
) -> None:
    """Encode texts by split and write the shards; the body of the stage."""
    kind = "<u2" if tokenizer.vocab_size <= 2**16 else "<u4"
    counts = {
        split: _write_split(draft, split, texts, tokenizer, kind) for split, texts in splits.items()
    }
    about = {"dtype": kind, "vocab_size": tokenizer.vocab_size, "tokenizer": tokenizer.digest}
    write_json(draft.file("tokens.json"), about | {"splits": counts})
    draft.numbers |= counts


def document_special_ids(tokenizer: FastTokenizer | ImportedTokenizer) -> SpecialFrame:
    """Ids before and after each document.

    After it comes `<|endoftext|>` if the vocabulary has it, otherwise the tokenizer's eos,
    otherwise its sep. Raises ConfigError if it has none of them.
    """
    if isinstance(tokenizer, FastTokenizer):
        return SpecialFrame((), (tokenizer.special_id(DOCUMENT_END),))
    roles = (tokenizer.role_ids.get(role) for role in END_ROLES)
    ends = [end for end in (tokenizer.specials.get(DOCUMENT_END), *roles) if end is not None]
    if not ends:
        what = f"The tokenizer has no end-of-document token: expected {DOCUMENT_END}"
        raise ConfigError(f"{what}, or an eos_token in its tokenizer_config.json.")
    return SpecialFrame(tokenizer.frame.before, (ends[0],))


def _write_split(
    draft: Draft, split: str, texts: Iterable[DocumentText],
    tokenizer: FastTokenizer | ImportedTokenizer, kind: str,
) -> dict[str, int]:  # fmt: skip
    """Write one split's files; return its counts of documents, tokens and bytes."""
    before, after = (np.array(ids, dtype=kind) for ids in document_special_ids(tokenizer))
    names, lengths, sizes = list[str](), list[int](), list[int]()
    with open(draft.file(f"{split}.bin"), "wb") as file:
        for group in batch_by_size(texts, lambda text: len(text.text), BATCH_CHARACTERS):
            rows = tokenizer.encode_arrays([text for _, text in group])
            for (name, text), row in zip(group, rows, strict=True):
                ids = np.concatenate([before, row.astype(kind), after])
                file.write(ids.tobytes())
                names.append(name)
                lengths.append(len(ids))
                sizes.append(len(well_formed(text).encode("utf-8")))
    ends = np.cumsum(np.array(lengths, dtype=np.uint64), dtype=np.uint64)
    np.save(draft.file(f"{split}.ends.npy"), ends)
    np.save(draft.file(f"{split}.bytes.npy"), np.array(sizes, dtype=np.uint64))
    write_json(draft.file(f"{split}.names.json"), names)
    return {"documents": len(names), "tokens": sum(lengths), "bytes": sum(sizes)}


@dataclass(frozen=True)
class Shard:
    """Documents as one array of ids.

    >>> shard = Shard.from_documents("train", [("a", [5, 6], 3), ("b", [7], 1)], end=9)
    >>> shard.ids.tolist(), shard.ends.tolist(), shard.document_ids(1).tolist()
    ([5, 6, 9, 7, 9], [3, 5], [7, 9])
    """

    name: str
    """Name of the split, or another one that identifies the shard in a mixture."""
    ids: Shaped[np.ndarray, " N"]
    """Unsigned; memory-mapped if opened from an artifact."""
    ends: UInt[np.ndarray, " documents"]
    bytes: UInt[np.ndarray, " documents"]
    names: list[str]
    tokenizer: str = ""
    """Digest of the tokenizer that produced the ids."""

    @classmethod
    def open(cls, artifact: Artifact, split: str) -> "Shard":
        """Memory-map a split of a tokens artifact; DataError if it is missing or truncated."""
        about = json.loads(artifact.file("tokens.json").read_text(encoding="utf-8"))
        if split not in about["splits"]:
            raise DataError(
                f"{artifact.path} has no split {split!r}; it has {', '.join(about['splits'])}."
            )
        read = partial(np.load, mmap_mode="r", allow_pickle=False)
        path, count = artifact.file(f"{split}.bin"), about["splits"][split]["tokens"]
        if path.stat().st_size != count * np.dtype(about["dtype"]).itemsize:
            what = f"{path} has {path.stat().st_size} bytes instead of {count} ids of type"
            raise DataError(f"{what} {about['dtype']}; recreate {artifact.path}.")
        ids = np.memmap(path, about["dtype"], "r") if count else np.empty(0, about["dtype"])
        ends, sizes = (read(artifact.file(f"{split}.{part}.npy")) for part in ("ends", "bytes"))
        names = json.loads(artifact.file(f"{split}.names.json").read_text(encoding="utf-8"))
        return cls(split, ids, ends, sizes, names, about["tokenizer"])

    @classmethod
    def from_documents(
        cls, name: str, documents: Iterable[tuple[str, list[int], int]], end: int
    ) -> "Shard":
        """Make a shard in memory from documents given as (name, ids, bytes)."""
        rows = list(documents)
        ids = np.array([id for _, row, _ in rows for id in [*row, end]], dtype=np.uint32)
        lengths = np.array([len(row) + 1 for _, row, _ in rows], dtype=np.uint64)
        sizes = np.array([size for _, _, size in rows], dtype=np.uint64)
        ends = np.cumsum(lengths, dtype=np.uint64)
        return cls(name, ids, ends, sizes, [name for name, _, _ in rows])

    def __len__(self) -> int:
        """Number of tokens, document ends included."""
        return len(self.ids)

    def document_ids(self, index: int) -> Int[np.ndarray, " tokens"]:
        """Ids of one document, its end included."""
        start = int(self.ends[index - 1]) if index else 0
        return np.asarray(self.ids[start : int(self.ends[index])], dtype=np.int64)

    def document_indices(self, positions: Int[np.ndarray, "*shape"]) -> Int[np.ndarray, "*shape"]:
        """Indices of the documents that contain the tokens at these positions."""
        return np.searchsorted(self.ends, positions.astype(np.uint64), side="right")
