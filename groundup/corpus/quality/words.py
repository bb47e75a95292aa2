"""English words and sentences as the published web filters count them.

Gopher's, C4's and FineWeb's thresholds are known for the words of one tokenizer: spaCy's blank
English, which datatrove uses. So its rules stand here, as data, and give the same words: a chunk
between white space loses prefixes and suffixes, is cut at infixes, and has special cases such as
`don't`. Each distinct chunk is cut once and remembered, which makes it twenty times as fast.
Source: spaCy 3.8, tokenizer.pyx (MIT); tables by tests/oracles/datatrove_words.py.
"""

import gzip
import json
import re
from functools import cache, lru_cache
from itertools import chain
from pathlib import Path
from typing import NamedTuple
from unicodedata import category

LONGEST = 1_000
"""A longer chunk stays one word: it is no word in any tokenizer, and cutting it is quadratic."""
REMEMBERED = 50_000
"""Distinct chunks that are remembered, some 10 MB; then all are forgotten."""
OTHER_SPACE = re.compile(r"^\s|\s\s|[^\S ]")
PIECE = re.compile(r"\s+|\S+")


class Tables(NamedTuple):
    """Rules of the tokenizer, and signs that the filters know."""

    prefix: re.Pattern[str]
    suffix: re.Pattern[str]
    infix: re.Pattern[str]
    url: re.Pattern[str]
    special: dict[str, list[str]]
    sentence_ends: frozenset[str]
    punctuation: frozenset[str]
    terminal: tuple[str, ...]


@cache
def tables() -> Tables:
    """The tables of words_en.json.gz."""
    packed = Path(__file__).with_name("words_en.json.gz").read_bytes()
    data = json.loads(gzip.decompress(packed))
    names = ("prefix", "suffix", "infix", "url")
    prefix, suffix, infix, url = (re.compile(data[name]) for name in names)
    ends, punctuation = (frozenset(data[name]) for name in ("sentence_ends", "punctuation"))
    terminal = tuple(data["terminal"])
    return Tables(prefix, suffix, infix, url, data["special"], ends, punctuation, terminal)


class Chunks(dict[str, tuple[str, ...]]):
    """Words of each chunk, cut when first asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.rules = tables()
        self.phrases: dict[str, list[tuple[tuple[str, ...], list[str]]]] = {}
        rules = self.rules
        for text, words in rules.special.items():
            if rules.prefix.search(text) or rules.infix.search(text) or rules.suffix.search(text):
                cut = tuple(self.cut(text, has_special=False))
                self.phrases.setdefault(cut[0], []).append((cut, words))
        for found in self.phrases.values():
            found.sort(key=lambda phrase: -len(phrase[0]))

    def __missing__(self, chunk: str) -> tuple[str, ...]:
        """Cut a chunk and remember its words."""
        if len(self) > REMEMBERED:
            self.clear()
        words = self[chunk] = (
            (chunk,) if len(chunk) > LONGEST else tuple(self.put_special(self.cut(chunk)))
        )
        return words

    def cut(self, chunk: str, has_special: bool = True) -> list[str]:
        """Affixes off, then infixes; special cases stay whole where they are met."""
        rules, special = self.rules, self.rules.special if has_special else {}
        before: list[str] = []
        after: list[str] = []
        while chunk and chunk not in special:
            found = rules.prefix.search(chunk)
            prefix = found.end() - found.start() if found else 0
            if prefix and chunk[prefix:] in special:
                before.append(chunk[:prefix])
                chunk = chunk[prefix:]
                break
            found = rules.suffix.search(chunk[prefix:])
            suffix = found.end() - found.start() if found else 0
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
            before += self.cut_infixes(chunk)
        return before + after[::-1]

    def cut_infixes(self, chunk: str) -> list[str]:
        """Words of a chunk without affixes."""
        words, start = [], 0
        for found in self.rules.infix.finditer(chunk):
            if found.start() == 0:
                continue
            words += [chunk[start : found.start()], found[0]]
            start = found.end()
        words.append(chunk[start:])
        return [word for word in words if word]

    def put_special(self, words: list[str]) -> list[str]:
        """Put the words of a special case where its pieces follow each other, longest first."""
        if not any(word in self.phrases for word in words):
            return words
        matches = [
            (len(cut), -at, at, put)
            for at, word in enumerate(words)
            for cut, put in self.phrases.get(word, ())
            if tuple(words[at : at + len(cut)]) == cut
        ]
        taken: set[int] = set()
        chosen: dict[int, tuple[int, list[str]]] = {}
        for size, _, at, put in sorted(matches, reverse=True, key=lambda match: match[:2]):
            if at not in taken and at + size - 1 not in taken:
                chosen[at] = (size, put)
            taken.update(range(at, at + size))
        result: list[str] = []
        at = 0
        while at < len(words):
            size, put = chosen.get(at, (1, [words[at]]))
            result += put
            at += size
        return result


@cache
def chunks() -> Chunks:
    """The memory of chunks, one a process; what it holds follows from the tables alone."""
    return Chunks()


@lru_cache(maxsize=4)
def split_words(text: str) -> list[str]:
    """Words of a text; do not change the list, it is remembered.

    >>> split_words("Don't stop (now)!")
    ['Do', "n't", 'stop', '(', 'now', ')', '!']
    """
    return list(chain.from_iterable(map(chunks().__getitem__, text.split())))


def count_sentences(line: str) -> int:
    """Sentences of a line: a new one begins with the first word after `.`, `!`, `?` and their kin.

    >>> count_sentences("One. Two! Three?"), count_sentences("e.g. this"), count_sentences("")
    (3, 1, 0)
    """
    if not line:
        return 0
    if OTHER_SPACE.search(line):
        words: list[str] = []
        for piece in PIECE.findall(line):
            if not piece.isspace():
                words += chunks()[piece]
            elif not words or piece != " ":  # the space after a word belongs to it
                words.append(piece)
    else:
        words = list(chain.from_iterable(map(chunks().__getitem__, line.split())))
    ends = tables().sentence_ends
    count, has_ended = 1, False
    for word in words:
        if word in ends:
            has_ended = True
        elif has_ended and not is_punctuation(word):
            count, has_ended = count + 1, False
    return count


@lru_cache(maxsize=REMEMBERED)
def is_punctuation(word: str) -> bool:
    """Whether a word is of punctuation alone."""
    return all(category(sign)[0] == "P" for sign in word)


@lru_cache(maxsize=REMEMBERED)
def is_symbol(word: str) -> bool:
    """Whether a word is of signs alone that the filters call punctuation."""
    return tables().punctuation.issuperset(word)


@lru_cache(maxsize=REMEMBERED)
def has_letter(word: str) -> bool:
    """Whether a word has a letter."""
    return any(map(str.isalpha, word))
