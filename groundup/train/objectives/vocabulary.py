"""Token properties that objectives need: which are special, where words and sentences end.

Byte-level tokens split words: "unbeliev|able". A token continues the word before it if both sides
of the boundary are letters, where the tokenizer's pattern would not have split.
Bytes beyond ASCII count as letters: most of them are.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int, Int64

from groundup.core import ConfigError, DataError, Tokenizer
from groundup.tokenizer import SENTINELS, SPECIAL_SETS

SENTENCE_ENDS = b".!?"


class Span(NamedTuple):
    """Tokens from `start` to before `end`."""

    start: int
    end: int


class Vocabulary(NamedTuple):
    """Properties of a tokenizer's ids."""

    specials: dict[str, int]
    """Special token to id."""
    plain: Int64[np.ndarray, " plain"]
    """Ids of all other tokens, in order."""
    is_special: Bool[np.ndarray, " V"]
    begins_inside: Bool[np.ndarray, " V"]
    """Whether a token begins with a letter, and so may continue a word."""
    ends_inside: Bool[np.ndarray, " V"]
    """Whether a token ends with a letter, so that its word may continue."""
    ends_sentence: Bool[np.ndarray, " V"]
    sizes: Int64[np.ndarray, " V"]
    """Bytes of text per token; 0 for special ones."""

    def special(self, name: str) -> int:
        """Id of a special token; ConfigError says how to make a tokenizer with it."""
        if name not in self.specials:
            sets = (key for key, names in SPECIAL_SETS.items() if name in names)
            wanted = next(sets, name)
            raise ConfigError(
                f"The tokenizer has no {name}, which this objective needs; make it with "
                f"""--set 'specials=["chat", "{wanted}"]'."""
            )
        return self.specials[name]

    @property
    def sentinels(self) -> list[int]:
        """Ids of T5's sentinels, up to the first that is missing."""
        ids = []
        for name in SENTINELS:
            if name not in self.specials:
                break
            ids.append(self.specials[name])
        return ids


def vocabulary(tokenizer: Tokenizer) -> Vocabulary:
    """Compute the token properties of a tokenizer.

    >>> from groundup.tokenizer import FastTokenizer
    >>> known = vocabulary(FastTokenizer([(b"a", b"b")]))
    >>> len(known.plain), sorted(known.specials.values())
    (257, [257, 258, 259])
    """
    size = tokenizer.vocab_size
    is_special = np.zeros(size, dtype=bool)
    is_special[list(tokenizer.specials.values())] = True
    spelt = [b"" if is_special[id] else bytes_inside(tokenizer, id) for id in range(size)]
    return Vocabulary(
        specials=dict(tokenizer.specials),
        plain=np.flatnonzero(~is_special),
        is_special=is_special,
        begins_inside=np.array([is_letter(token[:1]) for token in spelt]),
        ends_inside=np.array([is_letter(token[-1:]) for token in spelt]),
        ends_sentence=np.array([ends_sentence(token) for token in spelt]),
        sizes=np.array([len(token) for token in spelt]),
    )


def bytes_inside(tokenizer: Tokenizer, id: int) -> bytes:
    """Bytes of a token inside a text (some tokenizers strip a space at the beginning).

    Empty for an unused id: imported vocabularies may have holes.
    """
    try:
        return tokenizer.decode_bytes([id, id])[len(tokenizer.decode_bytes([id])) :]
    except DataError:
        return b""


def is_letter(byte: bytes) -> bool:
    """Whether a byte is an ASCII letter or part of a non-ASCII character."""
    return byte.isalpha() or byte >= b"\x80"


def ends_sentence(token: bytes) -> bool:
    """Whether a token ends a sentence: . ! or ?, optionally before quotes and white space.

    >>> [ends_sentence(token) for token in (b".", b'."', b"!\\n", b".x", b"")]
    [True, True, True, False, False]
    """
    stripped = token.rstrip(b" \t\r\n\"')")
    return stripped[-1:] != b"" and stripped[-1:] in SENTENCE_ENDS


def pieces(documents: Int[np.ndarray, " T"] | Sequence[int]) -> list[Span]:
    """Spans of a sequence's documents, padding excluded.

    >>> pieces([0, 0, 4, 4, 4, -1])
    [Span(start=0, end=2), Span(start=2, end=5)]
    """
    numbers = np.asarray(documents)
    borders = np.flatnonzero(np.diff(numbers)) + 1
    bounds = [0, *borders.tolist(), len(numbers)]
    spans = [Span(start, end) for start, end in zip(bounds, bounds[1:], strict=False)]
    return [span for span in spans if span.end > span.start and numbers[span.start] >= 0]


def words(ids: Int64[np.ndarray, " T"], piece: Span, known: Vocabulary) -> list[Span]:
    """Spans of the words of a document, special tokens excluded."""
    inside = ids[piece.start : piece.end]
    continues = known.ends_inside[inside[:-1]] & known.begins_inside[inside[1:]]
    starts = np.concatenate([[True], ~continues]) if len(inside) else np.zeros(0, dtype=bool)
    bounds = [*np.flatnonzero(starts).tolist(), len(inside)]
    spans = [Span(start, end) for start, end in zip(bounds, bounds[1:], strict=False)]
    return [
        Span(piece.start + start, piece.start + end)
        for start, end in spans
        if not known.is_special[inside[start]]
    ]


def tokens(ids: Int64[np.ndarray, " T"], piece: Span, known: Vocabulary) -> list[Span]:
    """Spans of the single tokens of a document, special ones excluded."""
    return [
        Span(position, position + 1)
        for position in range(piece.start, piece.end)
        if not known.is_special[ids[position]]
    ]
