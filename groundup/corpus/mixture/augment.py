"""Derived records: synthetic training records made from others, each with its parent's id.

A step can only change or drop the record it sees; a `Deriver` adds records. The engine calls it
once the splits are known and for training records only, since a derived record repeats its parent's
content: this keeps held-out content out of the training data.

`augment.fim` moves a middle to the end, between marks, for corpora that other trainers read. Our
own pre-training moves middles by token ids (objective="middle"), because there the marks are tokens
that no text can spell.
Source: Bavarian et al. 2022, arXiv:2207.14255 (rate 0.5, either order half of the time).
"""

import hashlib
import random
from typing import Any, Protocol, runtime_checkable

from pydantic import Field

from groundup.core import Config
from groundup.documents import Record, Segment, SourceMap, TextSpan, record_id


@runtime_checkable
class Deriver(Protocol):
    """Makes new records from one; deterministic."""

    config: Config

    def __call__(self, record: Record) -> list[Record]:
        """New records, made with `make_derived`; may be empty."""
        ...


def make_derived(
    parent: Record,
    text: str,
    method: str,
    number: int = 0,
    *,
    spans: tuple[TextSpan, ...] = (),
    metadata: dict[str, Any] | None = None,
) -> Record:
    """A record of derived text, all of which maps to all of the parent's bytes.

    It inherits the parent's metadata, its licence above all.

    >>> plain = Record("1", "s", "a.txt", "text", "one", SourceMap.identity("one"))
    >>> made = make_derived(plain, "two", "paraphrase")
    >>> made.path, made.metadata, made.map.byte_range(0, 1)
    ('a.txt#paraphrase-0', {'synthetic': 'paraphrase', 'parent': '1'}, (0, 3))
    """
    path = f"{parent.path}#{method}-{number}"
    first, last = parent.map.byte_range(0, len(parent.map.text))
    line = parent.map.line(0)
    segments = (Segment(0, len(text), first, last, line, False),) if text else ()
    own = {name: value for name, value in parent.metadata.items() if name != "aside"}
    own |= (metadata or {}) | {"synthetic": method, "parent": parent.id}
    return Record(
        record_id(parent.source, path), parent.source, path, parent.kind, text,
        SourceMap(text, segments), spans, own,
    )  # fmt: skip


class FillInTheMiddleConfig(Config):
    """How middles are moved (fill-in-the-middle)."""

    rate: float = Field(default=0.5, ge=0, le=1)
    """Share of records that get such a derivation [Bavarian et al. 2022]."""
    suffix_first: float = Field(default=0.5, ge=0, le=1)
    """Share of them in the order suffix, prefix, middle (SPM) [Bavarian et al. 2022]."""
    marks: tuple[str, str, str] = ("<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>")
    """Sentinels before prefix, suffix and middle, as in the trainer's tokenizer [StarCoder 2's are
    <fim_prefix> …]."""
    min_characters: int = Field(default=100, ge=3)
    """Shortest text. Own choice."""
    seed: int = 0
    """Seed of the choice of records and cuts."""


class FillInTheMiddle:
    """The derivation `augment.fim`."""

    def __init__(self, config: FillInTheMiddleConfig) -> None:
        self.config = config

    def __call__(self, record: Record) -> list[Record]:
        """One record or none; none for a text that contains a sentinel."""
        config, text = self.config, record.text
        # Seeded by the record, so that results do not depend on workers or order.
        key = f"{config.seed}\0fim\0{record.id}".encode()
        digest = hashlib.blake2b(key, digest_size=8).digest()
        random_source = random.Random(int.from_bytes(digest, "little"))
        has_mark = any(mark in text for mark in config.marks)
        if len(text) < config.min_characters or random_source.random() >= config.rate or has_mark:
            return []
        low, high = sorted(random_source.randrange(len(text) + 1) for _ in range(2))
        is_spm = random_source.random() < config.suffix_first
        moved_text = _move_middle(text, low, high, config.marks, is_spm)
        metadata = {"fim": "spm" if is_spm else "psm", "middle": [low, high]}
        return [make_derived(record, moved_text, "fim", metadata=metadata)]


def _move_middle(text: str, low: int, high: int, marks: tuple[str, str, str], is_spm: bool) -> str:
    """Move `text[low:high]` to the end.

    >>> [_move_middle("abcdef", 2, 4, ("P", "S", "M"), is_spm) for is_spm in (False, True)]
    ['PabSefMcd', 'PSefMabcd']
    """
    before, after, between = marks
    prefix, middle, suffix = text[:low], text[low:high], text[high:]
    if is_spm:  # the paper's second variant, which is the one that this package trains
        return f"{before}{after}{suffix}{between}{prefix}{middle}"
    return f"{before}{prefix}{after}{suffix}{between}{middle}"
