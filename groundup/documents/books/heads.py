"""Running heads and page numbers: the lines at the edges of pages that belong to no sentence.

Two kinds of evidence, both from the pages around: a line like it, numbers folded, stands at the
same edge of other pages (left and right heads, and a chapter's own, come back every other page); or
it begins or ends with a number that counts with the pages, arabic or roman, within ±2. Only what
touches the edge goes: a line behind kept text is text. Does not know what the lines say.
"""

import re
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from groundup.core import Config

from ..record import PASS, Edit, Record, Ruling
from .pages import Line, Page, folded, lines_of, page_spans, pages_of, roman_value

CONFUSED = str.maketrans(
    {"O": "0", "o": "0", "l": "1", "I": "1", "|": "1", "S": "5", "B": "8", "Z": "2"}
)
EDGE_WORD = re.compile(r"^\W{0,3}(?:page\s+)?([\w|]+(?:[-–][\w|]+)*)\W{0,3}$", re.IGNORECASE)


class HeadsConfig(Config):
    """When a line at the edge of a page is a running head or a page number."""

    lines: int = 3
    """Lines at either edge of a page that are looked at. Source: own, from research notes."""
    window: int = 8
    """Pages before and behind that are compared. Source: own; a chapter's head needs few."""
    similarity: float = 0.7
    """Share of letter pairs in common from which two folded lines are the same head. Source: own,
    frozen on the first manual of benchmarks/books.py."""
    recurrences: int = 2
    """Other pages of the window that must have a head like it. Source: own."""
    book_share: float = 0.3
    """Share of all pages whose edge has the line, from which it is a head wherever it stands.
    Source: research notes, 30 % after folding digits."""
    drift: int = 2
    """By how much a page number may differ from the count of pages. Source: the issue, ±2."""
    numbers: int = 3
    """Pages of the window whose numbers must count along. Source: own."""
    numbers_share: float = 0.25
    """Share of the window's pages whose numbers must count along. Source: own."""


class Edge(NamedTuple):
    """A line near the edge of a page, with what it is compared by."""

    page: int
    is_top: bool
    slot: int
    """0 for the outermost line."""
    line: Line
    key: str
    pairs: frozenset[str]
    """Pairs of letters of the key without a short first or last word, perhaps a number misread."""
    short: tuple[bool, bool]
    """Whether the first word is that short, and the last."""
    first_is_number: bool
    """Whether the number that it may be the page's is its first word alone."""
    offsets: tuple[int, ...]
    """Page number less count of pages, for each number the line may begin or end with."""


class Heads:
    """Removes running heads and page numbers; marks the pages if nothing else did."""

    def __init__(self, config: HeadsConfig) -> None:
        self.config = config

    def __call__(self, record: Record) -> Ruling:
        """Cut the lines at the edges of pages that recur or count."""
        found = pages_of(record)
        if len(found.pages) < 3:
            return PASS
        edges = [edge for n, page in enumerate(found.pages) for edge in self.edges(record, n, page)]
        reasons = self.judged(edges, len(found.pages), inside(record.text, edges))
        edits = [
            Edit(edge.line.start, min(edge.line.end + 1, found.pages[edge.page].end), reason)
            for edge, reason in reasons
        ]
        edits += self.feeds(record, edits)
        numbered = sum(reason == NUMBER for _, reason in reasons)
        metadata = {
            "pages": len(found.pages),
            "pages_from": found.source,
            "running_heads": len(reasons) - numbered,
            "page_numbers": numbered,
        }
        return Ruling(edits=tuple(sorted(edits)), metadata=metadata, spans=page_spans(found))

    def feeds(self, record: Record, edits: Sequence[Edit]) -> list[Edit]:
        """Edits that make line breaks of form feeds, but for those already cut."""
        cut = {edit.end - 1 for edit in edits}
        places = (match.start() for match in re.finditer("\f", record.text))
        return [Edit(at, at + 1, "form feed", "\n") for at in places if at not in cut]

    def edges(self, record: Record, number: int, page: Page) -> list[Edge]:
        """The outer lines of a page, top and bottom, none of them twice."""
        lines = [
            line
            for line in lines_of(record.text, page.start, page.end)
            if line.text.strip() and not is_speck(line.text.strip())
        ]
        reach = min(self.config.lines, (len(lines) + 1) // 2)
        tops = [edge(number, True, slot, line) for slot, line in enumerate(lines[:reach])]
        rest = lines[reach:][-self.config.lines :]
        return tops + [edge(number, False, n, line) for n, line in enumerate(reversed(rest))]

    def judged(
        self, edges: Sequence[Edge], pages: int, inner: Counter[str]
    ) -> list[tuple[Edge, str]]:
        """The edges that go, each with its reason, from the outermost line inwards.

        `inner` counts the folded lines inside pages: what stands there as often is text.
        """
        sides: dict[tuple[int, bool], list[Edge]] = {}
        for one in edges:
            sides.setdefault((one.page, one.is_top), []).append(one)
        frequent = Counter(one.key for one in {(e.page, e.key): e for e in edges}.values())
        found = []
        for side in sides.values():
            numbered = False
            for one in side:
                near = self.near(one, sides)
                is_text = inner[one.key] * 2 > frequent[one.key]
                share = frequent[one.key] / pages
                reason = "" if numbered else self.number(one, near)
                numbered = numbered or bool(reason)  # a page has one number
                if not reason and not is_text:
                    reason = self.head(one, near, share, numbered)
                if not reason:
                    break
                found.append((one, reason))
        return found

    def near(self, one: Edge, sides: dict[tuple[int, bool], list[Edge]]) -> list[Edge]:
        """Edges of the same side and about the same slot on the pages around."""
        pages = range(one.page - self.config.window, one.page + self.config.window + 1)
        return [
            other
            for page in pages
            if page != one.page
            for other in sides.get((page, one.is_top), ())
            if abs(other.slot - one.slot) <= 1
        ]

    def number(self, one: Edge, near: Sequence[Edge]) -> str:
        """Why a line is a page number or has one, or nothing.

        As many pages around must have a number as far from the count of pages. A reader that lost a
        page moves the numbers behind it: within the drift twice as many must agree, unless the
        number stands alone.
        """
        config, best = self.config, ""
        alone = one.key.strip("-–—[](). |") in ("#", "page #")
        around = len({other.page for other in near})
        needed = max(config.numbers, 0 if alone else config.numbers_share * around)
        for offset in one.offsets:
            exact = {e.page for e in near if offset in e.offsets}
            loose = {
                e.page for e in near if any(abs(offset - o) <= config.drift for o in e.offsets)
            }
            if len(exact) >= needed or len(loose) >= (needed if alone else 2 * needed):
                best = NUMBER if alone else NUMBERED
        if best == NUMBERED and one.first_is_number:
            alike = [other for other in near if similar(one, other, config.similarity)]
            best = best if alike and not is_title(one, alike, False) else ""  # `1 Introduction`
        return best or (NUMBER if self.is_misread(one, near) else "")

    def is_misread(self, one: Edge, near: Sequence[Edge]) -> bool:
        """Whether the outermost line is a scrap where the pages around have their numbers."""
        if one.slot or not len("".join(one.line.text.split())) <= SHORT:
            return False
        offsets = Counter(offset for other in near if not other.slot for offset in other.offsets)
        return bool(offsets) and offsets.most_common(1)[0][1] >= 2 * self.config.numbers

    def head(self, one: Edge, near: Sequence[Edge], share: float, numbered: bool) -> str:
        """Why a line is a running head, or nothing; `numbered` pages have theirs further out."""
        letters = sum(map(str.isalpha, one.key))
        if letters >= 3 and share >= self.config.book_share:
            return HEAD
        alike = [other for other in near if similar(one, other, self.config.similarity)]
        alike += [other for other in near if other not in alike and is_sibling(one, other)]
        enough = letters >= 5 and len({o.page for o in alike}) >= self.config.recurrences
        return HEAD if enough and not is_title(one, alike, numbered) else ""


SHORT = 3
"""Letters of a word that may be a page number misread."""
NUMBER, NUMBERED, HEAD = "page number", "running head with page number", "running head"


def inside(text: str, edges: Sequence[Edge]) -> Counter[str]:
    """How often the lines at the edges also stand inside pages, numbers folded."""
    keys = {edge.key for edge in edges}
    places = {edge.line.start for edge in edges}
    lengths = {len(edge.line.text.strip()) for edge in edges}
    near = {length + step for length in lengths for step in (-2, -1, 0, 1, 2)}
    counts: Counter[str] = Counter()
    for line in lines_of(text):
        stripped = line.text.strip()
        if stripped and len(stripped) in near and line.start not in places:
            key = folded(stripped[:200])
            if key in keys:
                counts[key] += 1
    return counts


def edge(number: int, is_top: bool, slot: int, line: Line) -> Edge:
    """A line with what it is compared by."""
    key = folded(line.text.strip()[:200])
    words = key.split()
    short = (len(words[0]) <= SHORT, len(words[-1]) <= SHORT) if words else (False, False)
    core = " ".join(words[short[0] : len(words) - short[1]])
    pairs = frozenset(core[at : at + 2] for at in range(len(core) - 1))
    offsets = tuple(value - number for value in numbers_of(line.text.strip()))
    first = len(words) > 1 and words[0] == "#" and "#" not in words[-1]
    return Edge(number, is_top, slot, line, key, pairs, short, first, offsets)


def numbers_of(line: str) -> list[int]:
    """Numbers that a line may be the page's: its first and its last word.

    >>> numbers_of("12  Chapter 3. Lists"), numbers_of("- xiv -"), numbers_of("Index   1O1")
    ([12], [14], [101])
    """
    words = line.split() if len(line) <= 200 else []
    if len(words) == 3 and not words[0].isalnum():
        words = words[1:2]
    found = []
    for word in dict.fromkeys(words[:1] + words[-1:]):
        match = EDGE_WORD.match(word)
        if match:
            last = re.split(r"[-–]", match.group(1))[-1]
            value = number_value(last)
            found += [] if value is None else [value]
    return found


def number_value(word: str) -> int | None:
    """An arabic or roman number, with the digits that OCR takes for letters; None if none."""
    if len(word) > 6:
        return None
    if word.isascii() and word.isdecimal():
        return int(word)
    digits = word.translate(CONFUSED)
    if digits.isascii() and digits.isdecimal() and any(map(str.isdecimal, word)):
        return int(digits)
    return roman_value(word)


def similar(one: Edge, other: Edge, limit: float) -> bool:
    """Whether two lines are the same head, the odd letter or the number misread."""
    if one.key == other.key:
        return True
    union = len(one.pairs | other.pairs)
    return union > 0 and len(one.pairs & other.pairs) / union >= limit


def is_sibling(one: Edge, other: Edge) -> bool:
    """Whether two lines begin with the same word and its number and end with a page's number.

    `Chapter 3: Lists 27` is one with `Chapter 4: Trees 3l`.
    """
    begins = one.key.split()[:2]
    return (
        one.short[1]
        and other.short[1]
        and "#" in other.key.split()[-1]
        and len(begins) == 2
        and "#" in begins[1]
        and begins == other.key.split()[:2]
    )


def is_speck(line: str) -> bool:
    """Whether a line is dust: three signs at most, none of them a letter or digit."""
    return len(line) <= 3 and not any(map(str.isalnum, line))


def is_title(one: Edge, alike: Sequence[Edge], numbered: bool) -> bool:
    """Whether a line is the chapter's title, which the running heads behind it repeat.

    They have a page's number at one end and the title has none there; where they have none, the
    title comes first and is set in other letters.
    """
    ends, times = Counter(other.short for other in alike).most_common(1)[0]
    if times * 2 >= len(alike) and any(ends):
        return numbered or any(end and not own for end, own in zip(ends, one.short, strict=True))
    first = all(other.page > one.page for other in alike)
    text = " ".join(one.line.text.split())
    return first and all(" ".join(other.line.text.split()) != text for other in alike)
