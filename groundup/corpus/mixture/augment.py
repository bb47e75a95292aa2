"""Augmentation: more to learn from the same text, each new record marked and with its parent.

    augment.fim        Middles    a text whose middle stands at its end, between marks
    augment.noise      Noise      a text as bad scanning would give it
    augment.comments   Comments   a comment with its code, and code with its comment

They are Derives (see engine/derive.py), pure functions of a record and a seed. Our own
pre-training moves middles by ids (objective="middle") and needs no augment.fim: there marks are
tokens, which no text can spell. It is for corpora that others' trainers read.
Source: Bavarian et al. 2022, arXiv:2207.14255 (middles, rate 0.5 and either order half the time).
"""

import ast
import hashlib
import random
import re
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from pydantic import Field, field_validator

from groundup.core import Config, ConfigError
from groundup.documents import Record, Span

from ..engine.derive import derived

DERIVES: dict[str, str] = {
    "augment.fim": "groundup.corpus.mixture.augment:Middles",
    "augment.noise": "groundup.corpus.mixture.augment:Noise",
    "augment.comments": "groundup.corpus.mixture.augment:Comments",
}
"""Name in a pipeline to `module:Class`."""
CONFUSIONS = {
    "rn": "m", "m": "rn", "cl": "d", "vv": "w", "w": "vv", "li": "h", "h": "b", "b": "h",
    "l": "1", "1": "l", "I": "l", "O": "0", "0": "O", "S": "5", "5": "S", "B": "8", "8": "B",
    "e": "c", "c": "e", "fi": "ﬁ", "fl": "ﬂ", "n": "u", "u": "n", "a": "o", "t": "f", ",": ".",
    "'": "`", "-": "—", "g": "q", "Z": "2", "6": "b", "y": "v",
}  # fmt: skip
"""What scanners read for what: shapes that are alike in common typefaces. Our own table."""
LEADER = re.compile(r"[ \t]*(?://[/!]?|#+(?!!)|--)[ \t]?")
"""How a line of comment begins; `#!` is none."""


def chance_of(record: Record, seed: int, what: str) -> random.Random:
    """Random numbers of a record's own: the same in any worker and any order."""
    digest = hashlib.blake2b(f"{seed}\0{what}\0{record.id}".encode(), digest_size=8).digest()
    return random.Random(int.from_bytes(digest, "little"))


class MiddlesConfig(Config):
    """How middles are moved."""

    rate: float = Field(default=0.5, ge=0, le=1)
    """Share of records of which such a one is made [Bavarian et al. 2022]."""
    suffix_first: float = Field(default=0.5, ge=0, le=1)
    """Share of these in the order suffix, prefix, middle (SPM) [Bavarian et al. 2022]."""
    marks: tuple[str, str, str] = ("<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>")
    """Before prefix, suffix and middle, as the trainer's tokenizer knows them [StarCoder 2's are
    <fim_prefix> …]."""
    min_characters: int = Field(default=100, ge=3)
    """Shortest text; our own."""
    seed: int = 0
    """Of the choice of records and cuts."""


class Middles:
    """A text of three parts, the middle last."""

    def __init__(self, config: MiddlesConfig) -> None:
        self.config = config

    def __call__(self, record: Record) -> list[Record]:
        """One record or none; none of a text that spells a mark, which could not be told apart."""
        config, text = self.config, record.text
        chance = chance_of(record, config.seed, "fim")
        spelt = any(mark in text for mark in config.marks)
        if len(text) < config.min_characters or chance.random() >= config.rate or spelt:
            return []
        low, high = sorted(chance.randrange(len(text) + 1) for _ in range(2))
        is_spm = chance.random() < config.suffix_first
        made = moved(text, low, high, config.marks, is_spm)
        metadata = {"fim": "spm" if is_spm else "psm", "middle": [low, high]}
        return [derived(record, made, "fim", metadata=metadata)]


def moved(text: str, low: int, high: int, marks: tuple[str, str, str], is_spm: bool) -> str:
    """A text with `text[low:high]` last.

    >>> moved("abcdef", 2, 4, ("P", "S", "M"), False), moved("abcdef", 2, 4, ("P", "S", "M"), True)
    ('PabSefMcd', 'PSefMabcd')
    """
    before, after, between = marks
    prefix, middle, suffix = text[:low], text[low:high], text[high:]
    if is_spm:  # the paper's second variant, which is the one that this package trains
        return f"{before}{after}{suffix}{between}{prefix}{middle}"
    return f"{before}{prefix}{after}{suffix}{between}{middle}"


class NoiseConfig(Config):
    """How a text is spoilt."""

    rate: float = Field(default=0.5, ge=0, le=1)
    """Share of records of which a spoilt one is made; our own."""
    errors: float = Field(default=0.02, gt=0, le=1)
    """Share of the places that could be misread which are; our own: about one letter in a hundred,
    as in passable scans."""
    confusions: dict[str, str] = CONFUSIONS
    """What is read as what."""
    seed: int = 0
    """Of the choice of records and places."""

    @field_validator("confusions")
    @classmethod
    def check(cls, value: dict[str, str]) -> dict[str, str]:
        """Refuse a table that spoils nothing."""
        if not value or "" in value or any(a == b for a, b in value.items()):
            raise ConfigError("confusions must give different readings of at least one string.")
        return value


class Noise:
    """A text as bad scanning gives it; the clean one is its parent."""

    def __init__(self, config: NoiseConfig) -> None:
        self.config = config
        longest_first = sorted(config.confusions, key=lambda key: (-len(key), key))
        self.pattern = re.compile("|".join(map(re.escape, longest_first)))

    def __call__(self, record: Record) -> list[Record]:
        """One record, or none if nothing in it was misread."""
        chance = chance_of(record, self.config.seed, "noise")
        if chance.random() >= self.config.rate:
            return []
        matches = list(self.pattern.finditer(record.text))
        drawn = np.random.Philox(key=chance.getrandbits(64)).random_raw(len(matches)) / 2.0**64
        pieces, at, chosen = [], 0, np.flatnonzero(drawn < self.config.errors).tolist()
        for place in chosen:
            match = matches[place]
            pieces += [record.text[at : match.start()], self.config.confusions[match[0]]]
            at = match.end()
        text = "".join([*pieces, record.text[at:]])
        metadata = {"misread": len(chosen)}
        return [derived(record, text, "noise", metadata=metadata)] if chosen else []


class CommentsConfig(Config):
    """Which comments and code become pairs."""

    min_words: int = Field(default=4, ge=1)
    """Words of the shortest comment; our own: fewer say little."""
    max_characters: int = Field(default=4_000, ge=10)
    """Of the longest code; our own."""
    most: int = Field(default=20, ge=1)
    """Pairs of a record; our own, so that no single file becomes a corpus."""
    kinds: tuple[str, ...] = ("code", "python")
    """Kinds of records that are looked at."""


class Commented(NamedTuple):
    """A comment and what it is about."""

    comment: str
    code: str


class Comments:
    """Two records a pair: the code after its comment, and the comment after its code."""

    def __init__(self, config: CommentsConfig) -> None:
        self.config = config

    def __call__(self, record: Record) -> list[Record]:
        """The pairs of a record, in its order."""
        config, made = self.config, list[Record]()
        if record.kind not in config.kinds:
            return made
        for pair in commented(record):
            words = len(pair.comment.split())
            if words < config.min_words or not 0 < len(pair.code) <= config.max_characters:
                continue
            for parts in (("comment", "code"), ("code", "comment")):
                texts = [getattr(pair, part) for part in parts]
                edge = len(texts[0])
                spans = (
                    Span(parts[0], 0, edge),
                    Span(parts[1], edge + 2, edge + 2 + len(texts[1])),
                )
                text = "\n\n".join(texts)
                made.append(derived(record, text, "comments", len(made), spans=spans))
            if len(made) >= 2 * config.most:
                break
        return made


def commented(record: Record) -> Iterator[Commented]:
    """Comments with their code: docstrings where a text parses as Python, else lines of comment."""
    is_python = record.kind == "python" or record.path.endswith(".py")
    if is_python:
        try:
            tree = ast.parse(record.text)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return
        yield from documented(record.text, tree)
        return
    comment, code = list[str](), list[str]()
    for line in [*record.text.splitlines(), ""]:
        leader = LEADER.match(line)
        if comment and line.strip() and not leader:
            code.append(line)
            continue
        if code:
            yield Commented("\n".join(comment).strip(), "\n".join(code).rstrip())
            comment, code = [], []
        if not leader:
            comment = []
        else:
            comment.append(line[leader.end() :])


def documented(text: str, tree: ast.Module) -> Iterator[Commented]:
    """Functions and classes with their docstrings, which the code is then without."""
    lines = text.splitlines(keepends=True)
    for node in ast.walk(tree):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            continue
        said, first = ast.get_docstring(node), node.body[0]
        if not said or len(node.body) < 2 or first.lineno == node.lineno:
            continue
        start = min([node.lineno, *(one.lineno for one in node.decorator_list)])
        kept = lines[start - 1 : first.lineno - 1] + lines[first.end_lineno : node.end_lineno]
        indent = len(kept[0]) - len(kept[0].lstrip())
        code = "".join(line[indent:] if line.strip() else "\n" for line in kept)
        yield Commented(said.strip(), code.rstrip())
