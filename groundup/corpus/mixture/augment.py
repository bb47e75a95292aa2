"""The derivation `augment.fim`: a new record whose middle stands at its end, between marks.

A Deriver (see engine/derive.py), thus a pure function of a record and a seed, for corpora that
other trainers read. Our own pre-training moves middles by token ids (objective="middle"), because
there the marks are tokens that no text can spell.
Source: Bavarian et al. 2022, arXiv:2207.14255 (rate 0.5, either order half of the time).
"""

import hashlib
import random

from pydantic import Field

from groundup.core import Config
from groundup.documents import Record

from ..engine.derive import make_derived


def _record_random(record: Record, seed: int, what: str) -> random.Random:
    """A generator seeded by the record, so that results do not depend on workers or order."""
    digest = hashlib.blake2b(f"{seed}\0{what}\0{record.id}".encode(), digest_size=8).digest()
    return random.Random(int.from_bytes(digest, "little"))


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
        random_source = _record_random(record, config.seed, "fim")
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
