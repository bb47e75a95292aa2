"""Word and character tokenizers, as baselines for subwords.

The vocabulary has complete units (words with the preceding space, or characters) and 256 bytes. An
unknown unit is spelled in bytes, where a classical word model would emit `<unk>` and lose the text,
so bits per byte of words, characters, bytes and subwords are comparable.

    words       "the tokeniser"  ->  the | ␣ t o k e n i s e r     if only `the` is known
    characters  "naïve"          ->  n | a | ï | v | e
    bytes       an empty vocabulary

Source: the problem of unknown words, which byte-pair encoding solves: Sennrich et al. 2016,
arXiv:1508.07909, §1.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cached_property
from itertools import accumulate, pairwise
from typing import Literal, NamedTuple

import regex

from groundup.core import ConfigError, DataError, Tokenizer, digest

from groundup.tokenizer import PATTERNS, SPECIALS, well_formed

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
