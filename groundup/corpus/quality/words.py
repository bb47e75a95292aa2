"""English words, sentences and repetition as the published web filters count them.

The thresholds of Gopher, C4 and FineWeb hold for the words of one tokenizer: spaCy's blank English,
which datatrove uses. Its rules are stored as data and give the same words: a chunk between white
space loses prefixes and suffixes, is split at infixes, and has special cases such as `don't`. Each
distinct chunk is split once and cached, which makes it twenty times as fast. Repeated n-grams are
counted as plain loops over strings would; hashes of spans (Karp and Rabin's, modulo 2^64, all at
once) only show cheaply that a count cannot exceed its limit, which is nearly always so.
Source: spaCy 3.8, tokenizer.pyx (MIT); tables by tests/oracles/datatrove_words.py.
"""

import gzip
import json
import re
from collections import Counter
from collections.abc import Sequence
from functools import cache, cached_property, lru_cache
from itertools import chain
from pathlib import Path
from typing import NamedTuple
from unicodedata import category

import numpy as np

MAX_CHUNK_CHARACTERS = 1_000  # A longer chunk stays one word, because splitting is quadratic
CACHE_SIZE = 50_000  # Distinct chunks in the cache, some 10 MB; a full cache is cleared
OTHER_SPACE = re.compile(r"^\s|\s\s|[^\S ]")
SPACE_OR_CHUNK = re.compile(r"\s+|\S+")
BASE = np.uint64(0x9E3779B97F4A7C15)
INVERSE = np.uint64(pow(int(BASE), -1, 2**64))


class EnglishRules(NamedTuple):
    """Rules of the tokenizer, and punctuation that the filters know."""

    prefix: re.Pattern[str]
    suffix: re.Pattern[str]
    infix: re.Pattern[str]
    url: re.Pattern[str]
    special: dict[str, list[str]]
    sentence_ends: frozenset[str]
    punctuation: frozenset[str]
    terminal: tuple[str, ...]


@cache
def english_rules() -> EnglishRules:
    """Read words_en.json.gz."""
    packed = Path(__file__).with_name("words_en.json.gz").read_bytes()
    data = json.loads(gzip.decompress(packed))
    names = ("prefix", "suffix", "infix", "url")
    prefix, suffix, infix, url = (re.compile(data[name]) for name in names)
    ends, punctuation = (frozenset(data[name]) for name in ("sentence_ends", "punctuation"))
    terminal = tuple(data["terminal"])
    return EnglishRules(prefix, suffix, infix, url, data["special"], ends, punctuation, terminal)


class _WordCache(dict[str, tuple[str, ...]]):
    """A cache of the words of each chunk."""

    def __init__(self) -> None:
        super().__init__()
        self.rules = english_rules()
        self.phrases: dict[str, list[tuple[tuple[str, ...], list[str]]]] = {}
        rules = self.rules
        for text, words in rules.special.items():
            if rules.prefix.search(text) or rules.infix.search(text) or rules.suffix.search(text):
                cut = tuple(self.split_chunk(text, has_special=False))
                self.phrases.setdefault(cut[0], []).append((cut, words))
        for found in self.phrases.values():
            found.sort(key=lambda phrase: -len(phrase[0]))

    def __missing__(self, chunk: str) -> tuple[str, ...]:
        if len(self) > CACHE_SIZE:
            self.clear()
        is_long = len(chunk) > MAX_CHUNK_CHARACTERS
        words = [chunk] if is_long else self.replace_special(self.split_chunk(chunk))
        return self.setdefault(chunk, tuple(words))

    def split_chunk(self, chunk: str, has_special: bool = True) -> list[str]:
        """Strip affixes, then split at infixes; special cases stay whole."""
        rules, special = self.rules, self.rules.special if has_special else {}
        before: list[str] = []
        after: list[str] = []
        while chunk and chunk not in special:
            match = rules.prefix.search(chunk)
            prefix = match.end() - match.start() if match else 0
            if prefix and chunk[prefix:] in special:
                before.append(chunk[:prefix])
                chunk = chunk[prefix:]
                break
            match = rules.suffix.search(chunk[prefix:])
            suffix = match.end() - match.start() if match else 0
            if suffix and chunk[:-suffix] in special:
                after.append(chunk[-suffix:])
                chunk = chunk[:-suffix]
                break
            if not prefix and not suffix:
                break
            if prefix:
                before.append(chunk[:prefix])
            if suffix and prefix + suffix <= len(chunk):
                after.append(chunk[-suffix:])
                chunk = chunk[prefix:-suffix]
            else:
                chunk = chunk[prefix:]
        if chunk in special:
            before += special[chunk]
        elif chunk and rules.url.match(chunk):
            before.append(chunk)
        else:
            before += self.split_infixes(chunk)
        return before + after[::-1]

    def split_infixes(self, chunk: str) -> list[str]:
        words, start = [], 0
        for match in self.rules.infix.finditer(chunk):
            if match.start() == 0:
                continue
            words += [chunk[start : match.start()], match[0]]
            start = match.end()
        words.append(chunk[start:])
        return [word for word in words if word]

    def replace_special(self, words: list[str]) -> list[str]:
        """Replace the parts of a special case by its words, longest first."""
        if not any(word in self.phrases for word in words):
            return words
        matches = [
            (len(parts), -index, index, new)
            for index, word in enumerate(words)
            for parts, new in self.phrases.get(word, ())
            if tuple(words[index : index + len(parts)]) == parts
        ]
        covered: set[int] = set()
        chosen: dict[int, tuple[int, list[str]]] = {}
        for size, _, index, new in sorted(matches, reverse=True, key=lambda match: match[:2]):
            if index not in covered and index + size - 1 not in covered:
                chosen[index] = (size, new)
            covered.update(range(index, index + size))
        result: list[str] = []
        index = 0
        while index < len(words):
            size, new = chosen.get(index, (1, [words[index]]))
            result += new
            index += size
        return result


@cache
def _word_cache() -> _WordCache:
    """The process-wide cache; its content depends on the tables alone."""
    return _WordCache()


@lru_cache(maxsize=4)
def split_words(text: str) -> list[str]:
    """Words of a text; do not modify the list, it is cached.

    >>> split_words("Don't stop (now)!")
    ['Do', "n't", 'stop', '(', 'now', ')', '!']
    """
    return list(chain.from_iterable(map(_word_cache().__getitem__, text.split())))


def count_sentences(line: str) -> int:
    """Count sentences of a line: one starts with the first word after `.`, `!`, `?` and the like.

    >>> count_sentences("One. Two! Three?"), count_sentences("e.g. this"), count_sentences("")
    (3, 1, 0)
    """
    if not line:
        return 0
    if OTHER_SPACE.search(line):
        words: list[str] = []
        for piece in SPACE_OR_CHUNK.findall(line):
            if not piece.isspace():
                words += _word_cache()[piece]
            elif not words or piece != " ":  # the space after a word belongs to it
                words.append(piece)
    else:
        words = list(chain.from_iterable(map(_word_cache().__getitem__, line.split())))
    ends = english_rules().sentence_ends
    count, has_ended = 1, False
    for word in words:
        if word in ends:
            has_ended = True
        elif has_ended and not _is_punctuation(word):
            count, has_ended = count + 1, False
    return count


@lru_cache(maxsize=CACHE_SIZE)
def _is_punctuation(word: str) -> bool:
    return all(category(sign)[0] == "P" for sign in word)


@lru_cache(maxsize=CACHE_SIZE)
def is_symbol(word: str) -> bool:
    """Whether a word consists of what the filters count as punctuation."""
    return english_rules().punctuation.issuperset(word)


@lru_cache(maxsize=CACHE_SIZE)
def has_letter(word: str) -> bool:
    """Whether a word contains a letter."""
    return any(map(str.isalpha, word))


class RepeatedItems(NamedTuple):
    """Count and characters of items that occurred before."""

    count: int
    characters: int


class WordSpans:
    """Words of a text joined without spaces, and hashes of any n-gram of them."""

    def __init__(self, words: Sequence[str]) -> None:
        self.words = words
        sizes = np.fromiter(map(len, words), dtype=np.int64, count=len(words))
        self.ends = np.cumsum(sizes)
        self.starts = self.ends - sizes

    @cached_property
    def hashes(self) -> tuple[np.ndarray, np.ndarray]:
        """Prefix sums of the characters' terms, and inverse powers of the base."""
        joined = "".join(self.words).encode("utf-32-le", "surrogatepass")
        signs = np.frombuffer(joined, dtype=np.uint32).astype(np.uint64) + np.uint64(1)
        powers = np.cumprod(np.full(len(signs), BASE))
        inverse = np.cumprod(np.full(len(signs) + 1, INVERSE))
        return np.concatenate([np.zeros(1, np.uint64), np.cumsum(signs * powers)]), inverse

    def ngram_hashes(self, n: int) -> np.ndarray:
        """A hash of each n-gram; equal joined strings have equal hashes."""
        sums, inverse = self.hashes
        starts = self.starts[: len(self.words) - n + 1]
        return (sums[self.ends[n - 1 :]] - sums[starts]) * inverse[starts]


def count_repeated(items: Sequence[str]) -> RepeatedItems:
    """Number and characters of items that occurred before.

    >>> count_repeated(["a", "bb", "a", "bb", "bb"])
    RepeatedItems(count=3, characters=5)
    """
    distinct = Counter(items)
    if len(distinct) == len(items):
        return RepeatedItems(0, 0)
    characters = sum(len(item) * (times - 1) for item, times in distinct.items() if times > 1)
    return RepeatedItems(len(items) - len(distinct), characters)


def top_ngram_characters(spans: WordSpans, n: int, enough: float) -> int:
    """Characters of the most frequent n-gram, including spaces between words, times its frequency.

    Of equally frequent ones the first in the text counts. If an upper bound is at most `enough`,
    the bound is returned instead.
    """
    if len(spans.words) < n:
        return 0
    hashes = np.sort(spans.ngram_hashes(n))
    edges = np.flatnonzero(np.concatenate([[True], hashes[1:] != hashes[:-1], [True]]))
    most = int(np.diff(edges).max())
    widest = int((spans.ends[n - 1 :] - spans.starts[: len(spans.words) - n + 1]).max()) + n - 1
    if most * widest <= enough:
        return most * widest
    words = spans.words
    top, times = Counter(zip(*(words[k:] for k in range(n)), strict=False)).most_common(1)[0]
    return (sum(map(len, top)) + n - 1) * times


def duplicate_ngram_characters(spans: WordSpans, n: int, enough: float) -> int:
    """Characters of n-grams that occurred before, taken from left to right without overlap.

    If an upper bound is at most `enough`, the bound is returned instead.
    """
    if len(spans.words) < n:
        return 0
    hashes = spans.ngram_hashes(n)
    ordered = np.sort(hashes)
    repeats = ordered[1:] == ordered[:-1]
    if not repeats.any():
        return 0
    first = np.unique(hashes, return_index=True)[1]
    is_repeated = np.ones(len(hashes), bool)
    is_repeated[first] = False
    positions = np.flatnonzero(is_repeated)
    starts, ends = spans.starts[positions], spans.ends[positions + n - 1]
    covered = int((ends - np.maximum(starts, np.concatenate([[0], ends[:-1]]))).sum())
    return covered if covered <= enough else _count_exactly(spans, hashes.tolist(), n)


def _count_exactly(spans: WordSpans, hashes: list[int], n: int) -> int:
    seen: set[int] = set()
    starts, ends = spans.starts.tolist(), spans.ends.tolist()
    characters = position = 0
    while position < len(hashes):
        if hashes[position] in seen:
            characters += ends[position + n - 1] - starts[position]
            position += n
        else:
            seen.add(hashes[position])
            position += 1
    return characters
