"""64-bit hashes of a text's words, and of word and character n-grams.

Words are runs of letters and digits; every other symbol, and every character of scripts without
spaces, is a word by itself. Case is folded and every digit is 0, as in CCNet. Everything is numpy
over the text's code points, without a loop over characters or words. Two words share a hash with
probability 2^-64, so hashes stand for words. Knows nothing of models.
Source: Wenzek et al. 2020, arXiv:1911.00359 (folding); Steele et al. 2014 (splitmix64).
"""

import unicodedata
from functools import cache
from typing import NamedTuple

import numpy as np

SPACE, WORD, STANDALONE, DIGIT = 0, 1, 2, 3
BMP_SIZE = 0x10000
UNSPACED_SCRIPTS = ((0x0E00, 0x0EFF), (0x1000, 0x109F), (0x1780, 0x17FF), (0x3040, 0x30FF),
            (0x3400, 0x9FFF), (0xF900, 0xFAFF))  # fmt: skip
"""Thai, Lao, Burmese, Khmer, kana and Han."""
MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)
SHIFT_16 = np.uint64(16)


class WordHashes(NamedTuple):
    """The words of a text in order."""

    hashes: np.ndarray
    """(N,) uint64."""
    lengths: np.ndarray
    """(N,) characters of each word."""
    characters: int
    """Length of the text, including spaces."""


@cache
def _character_classes() -> np.ndarray:
    """Character class of every code point of the Basic Multilingual Plane; takes 30 ms, once."""
    table = np.full(BMP_SIZE, STANDALONE, np.uint8)
    for code in range(BMP_SIZE):
        character = chr(code)
        if character.isspace() or unicodedata.category(character) in ("Cc", "Cf", "Cs"):
            table[code] = SPACE
        elif character.isdecimal():
            table[code] = DIGIT
        elif character.isalnum() or unicodedata.category(character)[0] == "M":
            table[code] = WORD
    table[ord("_")] = WORD
    for first, last in UNSPACED_SCRIPTS:
        block = table[first : last + 1]
        block[block == WORD] = STANDALONE
    return table


def _code_points(text: str) -> np.ndarray:
    """The code points of a text with case folded, uint32; a lone surrogate counts as a space."""
    return np.frombuffer(text.lower().encode("utf-32-le", "surrogatepass"), np.uint32)


def hash_words(text: str) -> WordHashes:
    """The words of a text.

    >>> found = hash_words("The cat, the CAT 12 99")
    >>> found.lengths.tolist(), len(set(found.hashes.tolist()))
    ([3, 3, 1, 3, 3, 2, 2], 4)
    """
    codes = _code_points(text)
    kind = np.where(
        codes < BMP_SIZE, _character_classes()[np.minimum(codes, BMP_SIZE - 1)], STANDALONE
    )
    codes = np.where(kind == DIGIT, np.uint32(ord("0")), codes)
    positions = np.flatnonzero(kind)
    if not len(positions):
        return WordHashes(np.zeros(0, np.uint64), np.zeros(0, np.int64), len(text))
    inside = (kind == WORD) | (kind == DIGIT)
    begins = ~inside  # a symbol always starts a word; a letter does unless a letter precedes it
    begins[0] = True
    begins[1:] |= ~inside[:-1]
    starts = np.flatnonzero(begins[positions])
    lengths = np.diff(starts, append=len(positions))
    offsets = np.arange(len(positions)) - np.repeat(starts, lengths)
    letters = codes[positions].astype(np.uint64) | (offsets.astype(np.uint64) << np.uint64(32))
    return WordHashes(mix_bits(np.add.reduceat(mix_bits(letters), starts)), lengths, len(text))


def mix_bits(values: np.ndarray) -> np.ndarray:
    """splitmix64's finaliser: each input bit flips half of the output bits."""
    values = values + MULTIPLIER
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def extend_ngrams(shorter: np.ndarray, hashes: np.ndarray, order: int) -> np.ndarray:
    """Keys of n-grams of `order` hashes from those one shorter: key(a b) = M key(a) + h(b).

    shorter  (N - order + 2,) keys of n-grams of order - 1
    returns  (N - order + 1,), the first for the n-gram that starts at 0
    """
    return shorter[: len(hashes) - order + 1] * MULTIPLIER + hashes[order - 1 :]


def character_ngrams(text: str, orders: tuple[int, ...], characters: int) -> list[np.ndarray]:
    """Keys of all character n-grams of the given orders, white space folded into single spaces."""
    codes = _code_points(" ".join(text[:characters].split())).astype(np.uint64)
    hashes, selected = mix_bits(codes), []
    keys = hashes
    for order in range(1, max(orders, default=0) + 1):
        if order > len(hashes):
            break
        keys = hashes if order == 1 else extend_ngrams(keys, hashes, order)
        if order in orders:
            selected.append(keys)
    return selected
