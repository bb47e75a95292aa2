"""Words, characters, bytes and subwords as units: one corpus, one body of a model, what differs?

    python -m benchmarks.tokenizer.units --corpus runs/tiny/corpus [--megabytes 4] [--depth 3]

Every tokenizer reads the same training text once and trains the same body by the same recipe; only
the vocabulary's embedding differs in size. Bits per byte are of the whole test split; what a
vocabulary lacks is spelt in bytes and paid for, where a classical word model would emit `<unk>` and
lose the text (Sennrich et al. 2016, arXiv:1508.07909, §1). Results: benchmarks/results/units.json,
and the table of docs/reference/tokenizer.md, which a test compares.
"""

import argparse
import json
import re
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from itertools import accumulate, islice, pairwise
from pathlib import Path
from typing import Any, Literal, NamedTuple

import regex
import torch

from groundup.core import Artifact, ConfigError, DataError, Tokenizer, device, digest
from groundup.corpus import read_split
from groundup.evaluate import bits_per_byte, score_documents
from groundup.model import Transformer, from_depth
from groundup.tokenizer import (
    DOCUMENT_END,
    PATTERNS,
    SPECIALS,
    FastTokenizer,
    Loader,
    Shard,
    train_bpe,
    well_formed,
)
from groundup.train import (
    LoopOptions,
    MicroBatch,
    OptimConfig,
    Optimizer,
    Precision,
    causal_loss,
    make_lr_schedule,
    train,
)

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "benchmarks" / "results" / "units.json"
PAGE = ROOT / "docs" / "reference" / "tokenizer.md"
BLOCK = re.compile(r"(<!-- units -->\n).*?(<!-- end of units -->)", re.DOTALL)
HEAD = "| unit | ids | bytes a token | unknown units | training tokens | weights | bits per byte |"
LENGTH, ROWS = 256, 8
Named = tuple[str, str]
"""A document's name and text."""


Unit = Literal["words", "characters"]
WORD_PATTERN = "gpt-2"
"""Splits words with the preceding space, and complete numbers."""
SPLITTER = regex.compile(PATTERNS[WORD_PATTERN])


def split_units(text: str, unit: Unit) -> list[str]:
    """The units of a well-formed text; concatenated, they are the text.

    >>> split_units("a 12 b!", "words")
    ['a', ' 12', ' b', '!']
    """
    return list(text) if unit == "characters" else SPLITTER.findall(text)


class UnitTokenizer:
    """Complete units where known, bytes otherwise; implements the Tokenizer protocol.

    >>> tokenizer = UnitTokenizer("words", [" cat"])
    >>> [tokenizer.decode([id]) for id in tokenizer.encode("a cat sat")]
    ['a', ' cat', ' ', 's', 'a', 't']

    Raises ConfigError if a unit is empty or a duplicate.
    """

    def __init__(
        self, unit: Unit, vocabulary: Sequence[str], specials: Sequence[str] = SPECIALS
    ) -> None:
        if len(set(vocabulary)) != len(vocabulary) or not all(vocabulary):
            raise ConfigError("The units of a vocabulary must be distinct, non-empty texts.")
        self.unit_kind: Unit = unit
        self.ids = {text: 256 + index for index, text in enumerate(vocabulary)}
        first = 256 + len(self.ids)
        self.special_ids = {name: first + index for index, name in enumerate(specials)}

    @cached_property
    def tokens(self) -> list[bytes]:
        """The bytes of every id, special tokens included."""
        spelt = [*self.ids, *self.special_ids]
        return [*(bytes([byte]) for byte in range(256)), *(text.encode() for text in spelt)]

    @property
    def vocab_size(self) -> int:
        """Number of ids: bytes, units and special tokens."""
        return 256 + len(self.ids) + len(self.special_ids)

    @property
    def specials(self) -> dict[str, int]:
        """Special token text to id."""
        return dict(self.special_ids)

    @property
    def digest(self) -> str:
        """sha256 hex of unit, vocabulary and special tokens."""
        return digest([self.unit_kind, WORD_PATTERN, list(self.ids), self.special_ids])

    def encode(self, text: str) -> list[int]:
        """Ids of a text; special tokens written in it are plain text."""
        return [
            id
            for piece in split_units(well_formed(text), self.unit_kind)
            for id in self.unit_ids(piece)
        ]

    def unit_ids(self, piece: str) -> Iterable[int]:
        """Ids of one unit: its own, or those of its bytes."""
        id = self.ids.get(piece)
        return piece.encode() if id is None else (id,)

    def count_unknown(self, text: str) -> int:
        """Number of unknown units in a text."""
        return sum(
            piece not in self.ids for piece in split_units(well_formed(text), self.unit_kind)
        )

    def decode(self, ids: Iterable[int]) -> str:
        """Text of the ids; bytes that are not UTF-8 become U+FFFD."""
        return self.decode_bytes(ids).decode("utf-8", "replace")

    def decode_bytes(self, ids: Iterable[int]) -> bytes:
        """Bytes of the ids; DataError names an id that is not in the vocabulary."""
        ids = list(ids)
        wrong = next((id for id in ids if not 0 <= id < self.vocab_size), None)
        if wrong is not None:
            raise DataError(f"id {wrong} is not in the vocabulary of {self.vocab_size} ids.")
        return b"".join(self.tokens[id] for id in ids)

    def offsets(self, text: str) -> list[tuple[int, int]]:
        """Byte range in the text's UTF-8 of each id of `encode(text)`."""
        lengths = (len(self.tokens[id]) for id in self.encode(text))
        return list(pairwise(accumulate(lengths, initial=0)))


def train_units(texts: Iterable[str], unit: Unit, size: int) -> UnitTokenizer:
    """Learn the most frequent units of a corpus; ties go to the first seen.

    `size` counts all ids, bytes and special tokens included; the result is smaller if there are
    fewer units. Units seen once are omitted, so that a model learns how unknown units are spelled.

    >>> train_units(["a cat, a cat, a dog"], "words", size=999).ids
    {' cat': 256, ',': 257, ' a': 258}
    """
    counts = Counter(piece for text in texts for piece in split_units(well_formed(text), unit))
    number = size - 256 - len(SPECIALS)
    if number < 0:
        raise ConfigError(
            f"size={size} must be at least {256 + len(SPECIALS)}: bytes and specials."
        )
    return UnitTokenizer(unit, [piece for piece, count in counts.most_common(number) if count > 1])


class Segmentation(NamedTuple):
    """Statistics of a tokenizer on texts."""

    vocab_size: int
    tokens: int
    bytes: int
    units: int
    """Words or characters of the text; for subwords and bytes, the tokens."""
    unknown: int
    """Units not in the vocabulary: spelled in bytes here, `<unk>` in a classical model."""

    @property
    def bytes_per_token(self) -> float:
        """Text per token; a context of T tokens covers T times as much."""
        return self.bytes / self.tokens

    @property
    def unknown_share(self) -> float:
        """Share of the units that are unknown."""
        return self.unknown / self.units


def measure_segmentation(tokenizer: Tokenizer, texts: Iterable[str]) -> Segmentation:
    """Count tokens and unknown units over texts; DataError if they are empty.

    >>> measure_segmentation(UnitTokenizer("words", [" cat"]), ["a cat sat"]).unknown_share
    0.6666666666666666
    """
    tokens = size = units = unknown = 0
    for text in map(well_formed, texts):
        count = len(tokenizer.encode(text))
        tokens, size = tokens + count, size + len(text.encode())
        if isinstance(tokenizer, UnitTokenizer) and tokenizer.ids:
            units += len(split_units(text, tokenizer.unit_kind))
            unknown += tokenizer.count_unknown(text)
        else:
            units += count
    if not size:
        raise DataError("The texts are empty; give texts to compare tokenizers on.")
    return Segmentation(tokenizer.vocab_size, tokens, size, units, unknown)


def main() -> None:
    """Measure every unit and write the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--corpus", type=Path, default=ROOT / "runs" / "tiny" / "corpus")
    parser.add_argument("--megabytes", type=float, default=4.0)
    parser.add_argument("--depth", type=int, default=3)
    given = parser.parse_args()
    device.set_num_threads()
    corpus = Artifact.open(given.corpus)
    learned = list(up_to(named(corpus, "train"), given.megabytes * 1e6))
    held_out = list(named(corpus, "test"))
    rows = []
    for name, tokenizer in tokenizers([text for _, text in learned]):
        row = {"unit": name} | measured(tokenizer, learned, held_out, given.depth)
        print(json.dumps(row), flush=True)
        rows.append(row)
    setting = {"megabytes": given.megabytes, "depth": given.depth, "length": LENGTH, "seed": 0}
    PAGE.write_text(with_units(PAGE.read_text("utf-8"), rows), "utf-8")
    RESULTS.write_text(json.dumps({"rows": [], "setting": setting, "units": rows}, indent=1) + "\n")


def with_units(page: str, rows: list[dict[str, Any]]) -> str:
    """The page with its table of units renewed."""
    lines = [HEAD, "|---|---|---|---|---|---|---|"]
    for row in rows:
        bits = row["bits_per_byte"]
        cells = (
            row["unit"], f"{row['vocab_size']:,}", f"{row['bytes_per_token']:.2f}",
            f"{row['unknown_share']:.1%}", f"{row['training_tokens']:,}",
            f"{row['parameters'] / 1e6:.2f}M",
            f"{bits['estimate']:.2f} [{bits['low']:.2f}, {bits['high']:.2f}]",
        )  # fmt: skip
        lines.append(f"| {' | '.join(cells)} |")
    table = "\n".join(lines) + "\n"
    return BLOCK.sub(lambda old: old[1] + table + old[2], page)


def named(corpus: Artifact, split: str) -> Iterator[Named]:
    """Yield (name, text) of a split."""
    for document in read_split(corpus, split):
        yield document.path, document.text


def up_to(documents: Iterator[Named], size: float) -> Iterator[Named]:
    """Yield documents until their bytes reach `size`."""
    read = 0
    for name, text in documents:
        if read >= size:
            return
        read += len(text.encode())
        yield name, text


def tokenizers(texts: Sequence[str]) -> Iterator[tuple[str, Tokenizer]]:
    """Yield each unit's tokenizer, learned from the texts."""
    yield "bytes", UnitTokenizer("characters", [])
    yield "characters", train_units(texts, "characters", 4096)
    for size in (1024, 4096, 16384):
        yield f"subwords, {size:,}", FastTokenizer(train_bpe(texts, vocab_size=size - 3))
    for size in (4096, 16384):
        yield f"words, {size:,}", train_units(texts, "words", size)


def measured(
    tokenizer: Tokenizer, learned: list[Named], held_out: list[Named], depth: int
) -> dict[str, Any]:
    """Train on what was learned, score what was held out."""
    found = measure_segmentation(tokenizer, (text for _, text in held_out))
    training, test = shard(tokenizer, learned), shard(tokenizer, held_out)
    config = from_depth(depth, tokenizer.vocab_size, context_length=LENGTH).config
    model = Transformer(config, seed=0)
    started = time.perf_counter()
    steps = fit(model, training)
    seconds = time.perf_counter() - started
    documents = (
        (name, test.document_ids(i), int(test.bytes[i])) for i, name in enumerate(test.names)
    )
    bos = tokenizer.specials[DOCUMENT_END]
    scores = score_documents(model, documents, bos=bos, window=LENGTH)
    return {
        "vocab_size": found.vocab_size,
        "bytes_per_token": found.bytes_per_token,
        "unknown_share": found.unknown_share,
        "training_tokens": len(training),
        "steps": steps,
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "seconds": round(seconds, 1),
        "bits_per_byte": bits_per_byte(scores)._asdict(),
    }


def shard(tokenizer: Tokenizer, documents: list[Named]) -> Shard:
    """Documents as one row of ids."""
    rows = ((name, tokenizer.encode(text), len(text.encode())) for name, text in documents if text)
    return Shard.from_documents("text", rows, end=tokenizer.specials[DOCUMENT_END])


def fit(model: Transformer, training: Shard) -> int:
    """One epoch; returns the number of optimizer steps."""
    loader, steps = Loader([training], ROWS, LENGTH, seed=0), len(training) // (ROWS * LENGTH)
    optim = OptimConfig()
    optimizer = Optimizer(model.named_parameters(), optim)
    model.compile_blocks()

    def batches(step: int) -> list[MicroBatch]:
        read = loader.batch(step)
        ids = torch.from_numpy(read.ids)
        weights, documents = torch.from_numpy(read.weights), torch.from_numpy(read.documents)
        return [MicroBatch(ids[:, :-1], ids[:, 1:], weights, documents)]

    plan = LoopOptions(steps, precision=Precision(device.compute_dtype(device.default_device())))
    for _ in islice(
        train(model, batches, causal_loss, optimizer, make_lr_schedule(optim, steps), plan), steps
    ):
        pass
    return steps


if __name__ == "__main__":
    main()
