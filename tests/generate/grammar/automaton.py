r"""A readable reference of constrained decoding: regular expressions and choices over bytes.

    derivative  what may follow a byte: d(a|b) = d(a)|d(b), d(ab) = d(a)b, and |d(b) if a may be
                empty, d(a{m,n}) = d(a)a{m-1,n-1}; so an automaton's states are expressions
    mask        the vocabulary's trie is walked with the expression: a token is allowed if its
                bytes leave one that matches something

A character is the sequences of bytes that spell it in UTF-8. An expression that matches nothing
becomes NOTHING as it is built, so every other one can be continued to a match. compiling.py does
the same through llguidance, faster and for more grammars; tests compare their masks.

Expressions have literals, `.`, classes, groups, `|`, `* + ? {m,n}`, and `\d \w \s` of ASCII; no
anchors, look-arounds or back-references.
Source: Brzozowski 1964, doi:10.1145/321239.321249.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch
from jaxtyping import Bool
from torch import Tensor

from groundup.core import ConfigError

MAX_CHARACTER = 0x10FFFF
SAME_LENGTH = (
    (0, 0x7F),
    (0x80, 0x7FF),
    (0x800, 0xD7FF),
    (0xE000, 0xFFFF),
    (0x10000, MAX_CHARACTER),
)
"""Characters whose UTF-8 has the same length; surrogates have none."""
Ranges = list[tuple[int, int]]
"""Characters by number, both bounds included."""
ESCAPED: dict[str, Ranges] = {
    "d": [(48, 57)], "s": [(9, 13), (32, 32)], "w": [(48, 57), (65, 90), (95, 95), (97, 122)],
    "n": [(10, 10)], "t": [(9, 9)], "r": [(13, 13)],
}  # fmt: skip


@dataclass(frozen=True)
class ByteRange:
    """One byte."""

    low: int
    high: int


@dataclass(frozen=True)
class Concatenation:
    """Expressions one after the other; none of them is the empty text."""

    items: tuple["Expression", ...] = ()


@dataclass(frozen=True)
class Alternation:
    """One of some expressions; none of them is nothing."""

    branches: frozenset["Expression"] = frozenset()


@dataclass(frozen=True)
class Repetition:
    """An expression from `least` to `most` times; any number of times if `most` is None."""

    item: "Expression"
    least: int
    most: int | None


Expression = ByteRange | Concatenation | Alternation | Repetition
EMPTY, NOTHING = Concatenation(), Alternation()


def _concatenate(*items: Expression) -> Expression:
    parts = [each.items if isinstance(each, Concatenation) else (each,) for each in items]
    flat = tuple(each for part in parts for each in part)
    return NOTHING if NOTHING in flat else flat[0] if len(flat) == 1 else Concatenation(flat)


def _either(branches: Iterable[Expression]) -> Expression:
    parts = [each.branches if isinstance(each, Alternation) else {each} for each in branches]
    flat = frozenset(each for part in parts for each in part)
    return next(iter(flat)) if len(flat) == 1 else Alternation(flat)


def _repeat(item: Expression, least: int, most: int | None) -> Expression:
    if most == 0 or item in (EMPTY, NOTHING):
        return NOTHING if least and item == NOTHING else EMPTY
    return Repetition(item, least, most)


def matches_empty(expression: Expression) -> bool:
    """Whether the empty text matches."""
    match expression:
        case ByteRange():
            return False
        case Concatenation(items):
            return all(map(matches_empty, items))
        case Alternation(branches):
            return any(map(matches_empty, branches))
        case Repetition(item, least, _):
            return least == 0 or matches_empty(item)


@lru_cache(maxsize=100_000)
def derivative(expression: Expression, byte: int) -> Expression:
    """What must follow a byte so that both together match; NOTHING if no text begins so."""
    match expression:
        case ByteRange(low, high):
            return EMPTY if low <= byte <= high else NOTHING
        case Alternation(branches):
            return _either(derivative(each, byte) for each in branches)
        case Repetition(item, least, most):
            rest = _repeat(item, max(least - 1, 0), None if most is None else most - 1)
            return _concatenate(derivative(item, byte), rest)
        case Concatenation(items):
            if not items:
                return NOTHING
            rest = _concatenate(*items[1:])
            after = _concatenate(derivative(items[0], byte), rest)
            if not matches_empty(items[0]):
                return after
            return _either([after, derivative(rest, byte)])


class TokenTrie:
    """The tokens of a vocabulary by their bytes."""

    def __init__(self, tokens: Sequence[bytes]) -> None:
        """Add every token; those without bytes are left out."""
        self.children: list[dict[int, int]] = [{}]
        self.ids: list[list[int]] = [[]]
        """Tokens that end at a node."""
        for id, token in enumerate(tokens):
            node = 0
            for byte in token:
                node = self.children[node].setdefault(byte, len(self.children))
                if node == len(self.children):
                    self.children.append({})
                    self.ids.append([])
            if token:
                self.ids[node].append(id)


class ReferenceMatcher:
    """Follows one answer through an expression, as `grammar.Matcher` does."""

    def __init__(
        self, expression: Expression, tokens: Sequence[bytes], ends: Sequence[int]
    ) -> None:
        """Begin an answer; `ends` are the ids that end it."""
        self.expression, self.tokens, self.ends = expression, tokens, list(ends)
        self.trie = TokenTrie(tokens)

    def mask(self, size: int) -> Bool[Tensor, " V"]:
        """Which of the first `size` ids may be next."""
        allowed, todo = torch.zeros(size, dtype=torch.bool), [(0, self.expression)]
        while todo:
            node, expression = todo.pop()
            allowed[self.trie.ids[node]] = True
            for byte, child in self.trie.children[node].items():
                if (after := derivative(expression, byte)) != NOTHING:
                    todo.append((child, after))
        if matches_empty(self.expression):
            allowed[self.ends] = True
        return allowed

    def accept(self, token: int) -> bool:
        """Add a token to the answer; False, and nothing is added, if it does not fit."""
        expression = self.expression
        for byte in self.tokens[token]:
            expression = derivative(expression, byte)
        if expression == NOTHING:
            return False
        self.expression = expression
        return True


def choices_expression(choices: Iterable[str]) -> Expression:
    """The expression of a few texts.

    >>> derivative(choices_expression(["yes", "no"]), ord("n"))
    ByteRange(low=111, high=111)
    """
    return _either(
        _concatenate(*(ByteRange(byte, byte) for byte in text.encode())) for text in choices
    )


def parse_regex(text: str) -> Expression:
    """The expression of a regular expression's text.

    Raises ConfigError if it has something else than the module's docstring lists.
    """
    parser = _Parser(text)
    expression = parser.alternatives()
    if parser.rest:
        raise parser.error(f"{parser.rest[0]!r} has no meaning here")
    return expression


class _Parser:
    """Recursive descent."""

    quantifier = re.compile(r"(?:([*+?])|\{(\d+)(?:(,)(\d*))?\})\??")

    def __init__(self, text: str) -> None:
        self.text, self.rest = text, text

    def error(self, what: str) -> ConfigError:
        return ConfigError(f"The regular expression {self.text!r} cannot be read: {what}.")

    def next(self) -> str:
        if not self.rest:
            raise self.error("it ends too early")
        character, self.rest = self.rest[0], self.rest[1:]
        return character

    def alternatives(self) -> Expression:
        branches = [self.concatenation()]
        while self.rest.startswith("|"):
            self.next()
            branches.append(self.concatenation())
        return _either(branches)

    def concatenation(self) -> Expression:
        items = list[Expression]()
        while self.rest and self.rest[0] not in "|)":
            items.append(self.quantified(self.atom()))
        return _concatenate(*items)

    def quantified(self, item: Expression) -> Expression:
        while found := self.quantifier.match(self.rest):
            self.rest = self.rest[found.end() :]
            mark, number, comma, limit = found.groups()
            least = int(number or mark == "+")
            most = 1 if mark == "?" else None if mark or (comma and not limit) else least
            most = int(limit) if limit else most
            if most is not None and most < least:
                raise self.error(f"{found[0]} has its bounds the wrong way round")
            item = _repeat(item, least, most)
        return item

    def atom(self) -> Expression:
        character = self.next()
        if character == "(":
            self.rest = self.rest.removeprefix("?:")
            item = self.alternatives()
            if not self.rest.startswith(")"):
                raise self.error("a group has no end")
            self.next()
            return item
        if character in "*+?{}^$":
            raise self.error(f"{character!r} has no meaning here")
        if character == "[":
            return _characters(self.character_class())
        return _characters(
            [(0, 9), (11, MAX_CHARACTER)] if character == "." else self.member(character)
        )

    def character_class(self) -> Ranges:
        is_negated, self.rest = self.rest.startswith("^"), self.rest.removeprefix("^")
        ranges = list[tuple[int, int]]()
        while (character := self.next()) != "]" or not ranges:
            member = self.member(character)
            if self.rest.startswith("-") and self.rest[1:2] != "]":
                self.next()
                member = [(member[0][0], self.member(self.next())[0][1])]
            ranges += member
        return _complement(ranges) if is_negated else ranges

    def member(self, character: str) -> Ranges:
        if character != "\\":
            return [(ord(character), ord(character))]
        name = self.next()
        if name in ESCAPED:
            return ESCAPED[name]
        if name in ("D", "S", "W"):
            return _complement(ESCAPED[name.lower()])
        if name.isalnum():
            raise self.error(f"\\{name} is not supported")
        return [(ord(name), ord(name))]


def _complement(ranges: Ranges) -> Ranges:
    """The characters outside some ranges.

    >>> _complement([(11, 0x10FFFF), (0, 9)])
    [(10, 10)]
    """
    outside, low = list[tuple[int, int]](), 0
    for first, last in sorted(ranges):
        if low < first:
            outside.append((low, first - 1))
        low = max(low, last + 1)
    return [*outside, (low, MAX_CHARACTER)] if low <= MAX_CHARACTER else outside


def _characters(ranges: Iterable[tuple[int, int]]) -> Expression:
    return _either(
        _concatenate(*(ByteRange(*each) for each in sequence))
        for low, high in ranges for sequence in _utf8_ranges(low, high)
    )  # fmt: skip


def _utf8_ranges(low: int, high: int) -> Iterator[Ranges]:
    """Yield sequences of byte ranges that together spell the characters from low to high.

    >>> list(_utf8_ranges(0x41, 0xBF))
    [[(65, 127)], [(194, 194), (128, 191)]]
    """
    for first, last in SAME_LENGTH:
        if max(low, first) <= min(high, last):
            bounds = chr(max(low, first)), chr(min(high, last))
            yield from _ranges_between(bounds[0].encode(), bounds[1].encode())


def _ranges_between(low: bytes, high: bytes) -> Iterator[Ranges]:
    """Byte ranges of the characters between two whose UTF-8 has one length."""
    size = len(low) - 1
    least, most = b"\x80" * size, b"\xbf" * size
    if low[0] == high[0] and size:
        yield from ([(low[0], low[0]), *rest] for rest in _ranges_between(low[1:], high[1:]))
        return
    first, last = low[0] + (low[1:] != least), high[0] - (high[1:] != most)
    if first > low[0]:
        yield from ([(low[0], low[0]), *rest] for rest in _ranges_between(low[1:], most))
    if first <= last:
        yield [(first, last), *[(0x80, 0xBF)] * size]
    if last < high[0]:
        yield from ([(high[0], high[0]), *rest] for rest in _ranges_between(least, high[1:]))
