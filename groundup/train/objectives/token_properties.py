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


class TokenSpan(NamedTuple):
    """Tokens from `start` to before `end`."""

    start: int
    end: int


class TokenProperties(NamedTuple):
    """Properties of a tokenizer's ids."""

    specials: dict[str, int]
    """Special token to id."""
    ordinary_ids: Int64[np.ndarray, " plain"]
    """Ids of all other tokens, in order."""
    is_special: Bool[np.ndarray, " V"]
    starts_with_letter: Bool[np.ndarray, " V"]
    """Whether a token begins with a letter, and so may continue a word."""
    ends_with_letter: Bool[np.ndarray, " V"]
    """Whether a token ends with a letter, so that its word may continue."""
    ends_sentence: Bool[np.ndarray, " V"]
    byte_lengths: Int64[np.ndarray, " V"]
    """Bytes of text per token; 0 for special ones."""

    def special_token_id(self, name: str) -> int:
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


def token_properties_of(tokenizer: Tokenizer) -> TokenProperties:
    """Compute the token properties of a tokenizer.

    >>> from groundup.tokenizer import FastTokenizer
    >>> known = token_properties_of(FastTokenizer([(b"a", b"b")]))
    >>> len(known.ordinary_ids), sorted(known.specials.values())
    (257, [257, 258, 259])
    """
    size = tokenizer.vocab_size
    is_special = np.zeros(size, dtype=bool)
    is_special[list(tokenizer.specials.values())] = True
    spelt = [b"" if is_special[id] else _token_bytes(tokenizer, id) for id in range(size)]
    return TokenProperties(
        specials=dict(tokenizer.specials),
        ordinary_ids=np.flatnonzero(~is_special),
        is_special=is_special,
        starts_with_letter=np.array([_is_letter(token[:1]) for token in spelt]),
        ends_with_letter=np.array([_is_letter(token[-1:]) for token in spelt]),
        ends_sentence=np.array([_is_sentence_end(token) for token in spelt]),
        byte_lengths=np.array([len(token) for token in spelt]),
    )


def _token_bytes(tokenizer: Tokenizer, id: int) -> bytes:
    """Bytes of a token inside a text (some tokenizers strip a space at the beginning).

    Empty for an unused id: imported vocabularies may have holes.
    """
    try:
        return tokenizer.decode_bytes([id, id])[len(tokenizer.decode_bytes([id])) :]
    except DataError:
        return b""


def _is_letter(byte: bytes) -> bool:
    """Whether a byte is an ASCII letter or part of a non-ASCII character."""
    return byte.isalpha() or byte >= b"\x80"


def _is_sentence_end(token: bytes) -> bool:
    """Whether a token ends a sentence: . ! or ?, optionally before quotes and white space.

    >>> [_is_sentence_end(token) for token in (b".", b'."', b"!\\n", b".x", b"")]
    [True, True, True, False, False]
    """
    stripped = token.rstrip(b" \t\r\n\"')")
    return stripped[-1:] != b"" and stripped[-1:] in SENTENCE_ENDS


def document_spans(documents: Int[np.ndarray, " T"] | Sequence[int]) -> list[TokenSpan]:
    """Spans of a sequence's documents, padding excluded.

    >>> document_spans([0, 0, 4, 4, 4, -1])
    [TokenSpan(start=0, end=2), TokenSpan(start=2, end=5)]
    """
    numbers = np.asarray(documents)
    borders = np.flatnonzero(np.diff(numbers)) + 1
    bounds = [0, *borders.tolist(), len(numbers)]
    spans = [TokenSpan(start, end) for start, end in zip(bounds, bounds[1:], strict=False)]
    return [span for span in spans if span.end > span.start and numbers[span.start] >= 0]


def word_spans(
    ids: Int64[np.ndarray, " T"], document: TokenSpan, known: TokenProperties
) -> list[TokenSpan]:
    """Spans of the words of a document, special tokens excluded."""
    inside = ids[document.start : document.end]
    continues = known.ends_with_letter[inside[:-1]] & known.starts_with_letter[inside[1:]]
    starts = np.concatenate([[True], ~continues]) if len(inside) else np.zeros(0, dtype=bool)
    bounds = [*np.flatnonzero(starts).tolist(), len(inside)]
    spans = [TokenSpan(start, end) for start, end in zip(bounds, bounds[1:], strict=False)]
    return [
        TokenSpan(document.start + start, document.start + end)
        for start, end in spans
        if not known.is_special[inside[start]]
    ]


def token_spans(
    ids: Int64[np.ndarray, " T"], document: TokenSpan, known: TokenProperties
) -> list[TokenSpan]:
    """Spans of the single tokens of a document, special ones excluded."""
    return [
        TokenSpan(position, position + 1)
        for position in range(document.start, document.end)
        if not known.is_special[ids[position]]
    ]
