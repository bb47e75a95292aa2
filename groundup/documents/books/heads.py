"""Running heads and page numbers: the lines at the edges of pages that belong to no sentence.

Two kinds of evidence, both from the pages around: a line like it, numbers folded, stands at the
same edge of other pages (left and right heads, and a chapter's own, come back every other page); or
it begins or ends with a number that counts with the pages, arabic or roman, within ±2. Only what
touches the edge goes: a line behind kept text is text. Does not know what the lines say.
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from groundup.core import Config

from ..record import PASS, Edit, Record, Ruling
from .pages import Line, Page, folded, lines_of, page_spans, pages_of, roman_value

CONFUSED = str.maketrans(
    {"O": "0", "o": "0", "l": "1", "I": "1", "i": "1", "|": "1", "S": "5", "B": "8", "Z": "2"}
)
EDGE_WORD = re.compile(r"^\W{0,3}(?:page\s+)?([\w|]+(?:[-–][\w|]+)*)\W{0,3}$", re.IGNORECASE)

OF_ALL = re.compile(r"\b(\d{1,5}) ?/ ?\d{1,5}$")
"""A page's number beside that of all pages."""


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
        reasons += Strays(self.config, record.text, found.pages, reasons).all()
        reasons.sort(key=lambda one: one[0].line.start)
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
        alone = [other for other in near if not other.slot and len(other.key.split()) == 1]
        offsets = Counter(offset for other in alone for offset in other.offsets)
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


class Strays:
    """Heads that a scanner read in the middle of a page, behind dust, or in two pieces.

    A page is searched if it has no head and pages on both sides, or before it, have the same one:
    one line of the page may be like it, and a number beside that line or at the page's edge must be
    the one that is due. A first page, whose title the heads behind it repeat, has none before it.
    """

    def __init__(
        self,
        config: HeadsConfig,
        text: str,
        pages: Sequence[Page],
        found: Sequence[tuple[Edge, str]],
    ) -> None:
        self.config, self.text, self.pages = config, text, pages
        self.gone = {one.line.start for one, _ in found}
        cores = {one.page: core(one.key) for one, why in found if why != NUMBER}
        self.worded = {page: words for page, words in cores.items() if is_worded(words)}
        self.numbered = {one.page: one for one, _ in found if one.offsets}

    def all(self) -> list[tuple[Edge, str]]:
        """The lines of pages without a head, or without a number, that are theirs all the same."""
        found: list[tuple[Edge, str]] = []
        for page in range(len(self.pages)):
            heads, due = self.expected(page), self.due(page)
            if heads or due is not None:
                found += self.on_page(page, heads, due)
        texts = self.inside({core(one.key) for one, why in found if why != NUMBER})
        families = Counter(self.worded.values())
        return [
            (one, why)
            for one, why in found
            if why == NUMBER or texts[core(one.key)] * 10 <= families.total()
        ]

    def around(self, page: int) -> Iterator[int]:
        """Yield the numbers of the pages of the window, this one left out."""
        first = max(0, page - self.config.window)
        last = min(len(self.pages), page + self.config.window + 1)
        return (other for other in range(first, last) if other != page)

    def expected(self, page: int) -> list[str]:
        """The heads that this page has lost, numbers off: pages around have them, one before it."""
        if page in self.worded:
            return []
        near = [(other, self.worded[other]) for other in self.around(page) if other in self.worded]
        times = Counter(words for _, words in near)
        before = {words for other, words in near if other < page}
        return [w for w, n in times.items() if n >= self.config.recurrences and w in before]

    def due(self, page: int) -> int | None:
        """The number that this page should have, if it has lost it."""
        if page in self.numbered:
            return None
        near = [self.numbered[other] for other in self.around(page) if other in self.numbered]
        offsets = Counter(offset for one in near for offset in one.offsets)
        if not offsets:
            return None
        offset, times = offsets.most_common(1)[0]
        return page + offset if times >= 2 * self.config.numbers else None

    def on_page(
        self, page: int, heads: Sequence[str], due: int | None
    ) -> Iterator[tuple[Edge, str]]:
        """Yield the one line that is like a lost head, and the one that is the lost number."""
        place = self.pages[page]
        lines = [
            line
            for line in lines_of(self.text, place.start, place.end)
            if line.text.strip() and line.start not in self.gone
        ]
        last, head = len(lines) - 1, None
        places = [at for at, line in enumerate(lines) if self.is_like(line, heads, at in (0, last))]
        if len(places) == 1:
            head = places[0]
            yield edge(page, head == 0, 0, lines[head]), HEAD
        beside = {0, last} if head is None else {0, last, head - 1, head + 1}
        for at in sorted(beside - {head}):
            if 0 <= at <= last and due is not None and is_number(lines[at].text, due):
                yield edge(page, at == 0, 0, lines[at]), NUMBER
                return

    def is_like(self, line: Line, heads: Sequence[str], is_edge: bool) -> bool:
        """Whether a line is a lost head; at the page's edge its number may be misread."""
        stripped = line.text.strip()
        if not heads or len(stripped) > 2 * max(map(len, heads)) + 12:
            return False
        key = folded(stripped)
        bare = core(key)
        words = bare.split()
        forms = {bare}
        if is_edge and len(words) > 1:
            forms |= {" ".join(words[1:])} if len(words[0]) <= SHORT else set()
            forms |= {" ".join(words[:-1])} if len(words[-1]) <= SHORT else set()
        return any(alike(form, head, self.config.similarity) for form in forms for head in heads)

    def inside(self, cores: set[str]) -> Counter[str]:
        """How often pages that have their head have such a line in their text too."""
        counts: Counter[str] = Counter()
        longest = 2 * max(map(len, cores), default=0) + 12
        for page in self.worded if cores else ():
            place = self.pages[page]
            for line in lines_of(self.text, place.start, place.end):
                stripped = line.text.strip()
                if 0 < len(stripped) <= longest and line.start not in self.gone:
                    counts[core(folded(stripped))] += 1
        return counts


def core(key: str) -> str:
    """A folded line without numbers and signs at its ends.

    >>> core("# gri"), core("chapter #: lists #"), core("auto multiple choice # / #")
    ('gri', 'chapter #: lists', 'auto multiple choice')
    """
    words = key.split()
    while words and not any(map(str.isalpha, words[-1])):
        words.pop()
    first = next((n for n, word in enumerate(words) if any(map(str.isalpha, word))), 0)
    return " ".join(words[first:])


def is_worded(words: str) -> bool:
    """Whether letters are left of a line, more than of a number misread."""
    return sum(map(str.isalpha, words)) >= 3


def alike(one: str, other: str, limit: float) -> bool:
    """Whether two cores are the same; short ones must be equal."""
    if one == other:
        return is_worded(one)
    if min(len(one), len(other)) < 8 or not 0.6 < len(one) / len(other) < 1.6:
        return False
    a, b = ({text[at : at + 2] for at in range(len(text) - 1)} for text in (one, other))
    return len(a & b) / len(a | b) >= limit


def is_number(line: str, due: int) -> bool:
    """Whether a line is a page's number, perhaps misread or `16 / 102`, and the one that is due.

    >>> is_number(" 16 / 102", 16), is_number("Page il", 11), is_number("16 eggs", 16)
    (True, True, False)
    """
    words = OF_ALL.sub(r"\1", line[:60].strip()).split()
    bare = [word for word in words if any(map(str.isalnum, word)) and word.lower() != "page"]
    if len(bare) != 1:
        return False
    word = bare[0].strip("-–—[]().")
    return number_value(word) == due or word.translate(CONFUSED) == str(due)


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
    words = OF_ALL.sub(r"\1", line).split() if len(line) <= 200 else []
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
