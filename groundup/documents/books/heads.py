"""Running heads and page numbers: remove the lines at page edges that are not part of the text.

Evidence comes from the neighbouring pages: a similar line, digits normalised, at the same edge of
other pages (left, right and chapter heads recur on every other page), or a number at either end
that increases with the pages, arabic or roman, within ±2. Only lines that touch the edge are
removed: a line behind one that stays is text.
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
"""A page number with the total, such as `16/102`."""


class HeadsConfig(Config):
    """When a line at a page edge is a running head or a page number."""

    lines: int = 3
    """Number of lines considered at either edge of a page. Source: own, from research notes."""
    window: int = 8
    """Number of pages before and after that are compared. Source: own; a chapter head needs few."""
    similarity: float = 0.7
    """Share of common letter bigrams from which two normalised lines are the same head. Source:
    own, frozen on the first manual of benchmarks/books.py."""
    recurrences: int = 2
    """Number of other pages of the window that must have a similar head. Source: own."""
    book_share: float = 0.3
    """Share of all pages with the line at their edge, from which it is a head at any position.
    Source: research notes, 30 % with digits normalised."""
    drift: int = 2
    """Maximum deviation of a page number from the page count. Source: the issue, ±2."""
    numbers: int = 3
    """Minimum number of pages of the window with consistent numbers. Source: own."""
    numbers_share: float = 0.25
    """Minimum share of the window's pages with consistent numbers. Source: own."""


class Edge(NamedTuple):
    """A line near a page edge with the features by which it is compared."""

    page: int
    is_top: bool
    slot: int
    """0 for the outermost line."""
    line: Line
    key: str
    pairs: frozenset[str]
    """Bigrams of the key without a short first or last word, which may be a misread number."""
    short: tuple[bool, bool]
    """Whether the first word is short, and whether the last is."""
    first_is_number: bool
    """Whether only its first word may be the page number."""
    offsets: tuple[int, ...]
    """Page number minus page count, for each number at the line's beginning or end."""


class Heads:
    """Removes running heads and page numbers; marks pages that nothing else marked."""

    def __init__(self, config: HeadsConfig) -> None:
        self.config = config

    def __call__(self, record: Record) -> Ruling:
        """Remove the edge lines that recur or count with the pages."""
        paged = pages_of(record)
        if len(paged.pages) < 3:
            return PASS
        edges = [edge for n, page in enumerate(paged.pages) for edge in self.edges(record, n, page)]
        reasons = self.judged(edges, len(paged.pages), inside(record.text, edges))
        reasons += Strays(self.config, record.text, paged.pages, reasons).all()
        reasons.sort(key=lambda item: item[0].line.start)
        edits = [
            Edit(edge.line.start, min(edge.line.end + 1, paged.pages[edge.page].end), reason)
            for edge, reason in reasons
        ]
        edits += self.feeds(record, edits)
        numbered = sum(reason == NUMBER for _, reason in reasons)
        metadata = {
            "pages": len(paged.pages),
            "pages_from": paged.source,
            "running_heads": len(reasons) - numbered,
            "page_numbers": numbered,
        }
        return Ruling(edits=tuple(sorted(edits)), metadata=metadata, spans=page_spans(paged))

    def feeds(self, record: Record, edits: Sequence[Edit]) -> list[Edit]:
        """Edits that replace form feeds by line breaks, except those already removed."""
        cut = {edit.end - 1 for edit in edits}
        feeds = (match.start() for match in re.finditer("\f", record.text))
        return [Edit(at, at + 1, "form feed", "\n") for at in feeds if at not in cut]

    def edges(self, record: Record, number: int, page: Page) -> list[Edge]:
        """The outer lines of a page, top and bottom, each once."""
        lines = [
            line
            for line in lines_of(record.text, page.start, page.end)
            if line.text.strip() and not is_speck(line.text.strip())
        ]
        reach = min(self.config.lines, (len(lines) + 1) // 2)
        tops = [edge(number, True, slot, line) for slot, line in enumerate(lines[:reach])]
        bottom = lines[reach:][-self.config.lines :]
        return tops + [edge(number, False, n, line) for n, line in enumerate(reversed(bottom))]

    def judged(
        self, edges: Sequence[Edge], pages: int, inner: Counter[str]
    ) -> list[tuple[Edge, str]]:
        """The lines to remove, each with its reason, from the outermost line inwards.

        `inner` counts normalised lines inside pages: a line as frequent there is text.
        """
        sides: dict[tuple[int, bool], list[Edge]] = {}
        for edge in edges:
            sides.setdefault((edge.page, edge.is_top), []).append(edge)
        frequent = Counter(edge.key for edge in {(e.page, e.key): e for e in edges}.values())
        removed = []
        for side in sides.values():
            numbered = False
            for edge in side:
                near = self.near(edge, sides)
                is_text = inner[edge.key] * 2 > frequent[edge.key]
                share = frequent[edge.key] / pages
                reason = "" if numbered else self.number(edge, near)
                numbered = numbered or bool(reason)  # a page has one number
                if not reason and not is_text:
                    reason = self.head(edge, near, share, numbered)
                if not reason:
                    break
                removed.append((edge, reason))
        return removed

    def near(self, edge: Edge, sides: dict[tuple[int, bool], list[Edge]]) -> list[Edge]:
        """Lines at the same edge and within one slot on the neighbouring pages."""
        pages = range(edge.page - self.config.window, edge.page + self.config.window + 1)
        return [
            other
            for page in pages
            if page != edge.page
            for other in sides.get((page, edge.is_top), ())
            if abs(other.slot - edge.slot) <= 1
        ]

    def number(self, edge: Edge, near: Sequence[Edge]) -> str:
        """Reason if a line is or contains the page number, else empty.

        Enough neighbouring pages must have a number at the same offset. If a reader lost a page,
        the numbers behind it shift: within the drift twice as many must agree, unless the number is
        alone.
        """
        config, best = self.config, ""
        alone = edge.key.strip("-–—[](). |") in ("#", "page #")
        around = len({other.page for other in near})
        needed = max(config.numbers, 0 if alone else config.numbers_share * around)
        for offset in edge.offsets:
            exact = {e.page for e in near if offset in e.offsets}
            loose = {
                e.page for e in near if any(abs(offset - o) <= config.drift for o in e.offsets)
            }
            if len(exact) >= needed or len(loose) >= (needed if alone else 2 * needed):
                best = NUMBER if alone else NUMBERED
        if best == NUMBERED and edge.first_is_number:
            alike = [other for other in near if similar(edge, other, config.similarity)]
            best = best if alike and not is_title(edge, alike, False) else ""  # `1 Introduction`
        return best or (NUMBER if self.is_misread(edge, near) else "")

    def is_misread(self, edge: Edge, near: Sequence[Edge]) -> bool:
        """Whether the outermost line is a scrap where neighbouring pages have their number."""
        if edge.slot or not len("".join(edge.line.text.split())) <= SHORT:
            return False
        alone = [other for other in near if not other.slot and len(other.key.split()) == 1]
        offsets = Counter(offset for other in alone for offset in other.offsets)
        return bool(offsets) and offsets.most_common(1)[0][1] >= 2 * self.config.numbers

    def head(self, edge: Edge, near: Sequence[Edge], share: float, numbered: bool) -> str:
        """Reason if a line is a running head, else empty; `numbered`: a line further out has the
        number.
        """
        letters = sum(map(str.isalpha, edge.key))
        if letters >= 3 and share >= self.config.book_share:
            return HEAD
        alike = [other for other in near if similar(edge, other, self.config.similarity)]
        alike += [other for other in near if other not in alike and is_sibling(edge, other)]
        enough = letters >= 5 and len({o.page for o in alike}) >= self.config.recurrences
        return HEAD if enough and not is_title(edge, alike, numbered) else ""


class Strays:
    """Heads that OCR placed inside a page, behind specks, or split into two pieces.

    A page without a head is searched if neighbouring pages, one before it included, share one: a
    single line of the page may match it, and the number next to that line or at the edge must be
    the expected one. A chapter's first page, whose title the later heads repeat, has no such page
    before it.
    """

    def __init__(
        self,
        config: HeadsConfig,
        text: str,
        pages: Sequence[Page],
        found: Sequence[tuple[Edge, str]],
    ) -> None:
        self.config, self.text, self.pages = config, text, pages
        self.gone = {edge.line.start for edge, _ in found}
        cores = {edge.page: core(edge.key) for edge, why in found if why != NUMBER}
        self.worded = {page: words for page, words in cores.items() if is_worded(words)}
        self.numbered = {edge.page: edge for edge, _ in found if edge.offsets}

    def all(self) -> list[tuple[Edge, str]]:
        """Lost heads and numbers of all pages, with their reasons."""
        strays: list[tuple[Edge, str]] = []
        for page in range(len(self.pages)):
            heads, due = self.expected(page), self.due(page)
            if heads or due is not None:
                strays += self.on_page(page, heads, due)
        texts = self.inside({core(stray.key) for stray, why in strays if why != NUMBER})
        families = Counter(self.worded.values())
        return [
            (stray, why)
            for stray, why in strays
            if why == NUMBER or texts[core(stray.key)] * 10 <= families.total()
        ]

    def around(self, page: int) -> Iterator[int]:
        """Yield the page indices of the window, without the page itself."""
        first = max(0, page - self.config.window)
        last = min(len(self.pages), page + self.config.window + 1)
        return (other for other in range(first, last) if other != page)

    def expected(self, page: int) -> list[str]:
        """Heads, without numbers, that this page lacks although its neighbours have them."""
        if page in self.worded:
            return []
        near = [(other, self.worded[other]) for other in self.around(page) if other in self.worded]
        times = Counter(words for _, words in near)
        before = {words for other, words in near if other < page}
        return [w for w, n in times.items() if n >= self.config.recurrences and w in before]

    def due(self, page: int) -> int | None:
        """The number that this page should have, if it lacks one."""
        if page in self.numbered:
            return None
        near = [self.numbered[other] for other in self.around(page) if other in self.numbered]
        offsets = Counter(offset for edge in near for offset in edge.offsets)
        if not offsets:
            return None
        offset, times = offsets.most_common(1)[0]
        return page + offset if times >= 2 * self.config.numbers else None

    def on_page(
        self, page: int, heads: Sequence[str], due: int | None
    ) -> Iterator[tuple[Edge, str]]:
        """Yield the single line that matches a lost head, and the line that is the lost number."""
        bounds = self.pages[page]
        lines = [
            line
            for line in lines_of(self.text, bounds.start, bounds.end)
            if line.text.strip() and line.start not in self.gone
        ]
        last, head = len(lines) - 1, None
        matching = [
            at for at, line in enumerate(lines) if self.is_like(line, heads, at in (0, last))
        ]
        if len(matching) == 1:
            head = matching[0]
            yield edge(page, head == 0, 0, lines[head]), HEAD
        beside = {0, last} if head is None else {0, last, head - 1, head + 1}
        for at in sorted(beside - {head}):
            if 0 <= at <= last and due is not None and is_number(lines[at].text, due):
                yield edge(page, at == 0, 0, lines[at]), NUMBER
                return

    def is_like(self, line: Line, heads: Sequence[str], is_edge: bool) -> bool:
        """Whether a line matches a lost head; at the page edge its number may be misread."""
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
        """How often such lines occur in the text of pages that have their head."""
        counts: Counter[str] = Counter()
        longest = 2 * max(map(len, cores), default=0) + 12
        for page in self.worded if cores else ():
            bounds = self.pages[page]
            for line in lines_of(self.text, bounds.start, bounds.end):
                stripped = line.text.strip()
                if 0 < len(stripped) <= longest and line.start not in self.gone:
                    counts[core(folded(stripped))] += 1
        return counts


def core(key: str) -> str:
    """A normalised line without numbers and punctuation at its ends.

    >>> core("# gri"), core("chapter #: lists #"), core("auto multiple choice # / #")
    ('gri', 'chapter #: lists', 'auto multiple choice')
    """
    words = key.split()
    while words and not any(map(str.isalpha, words[-1])):
        words.pop()
    first = next((n for n, word in enumerate(words) if any(map(str.isalpha, word))), 0)
    return " ".join(words[first:])


def is_worded(words: str) -> bool:
    """Whether at least three letters remain: more than a misread number."""
    return sum(map(str.isalpha, words)) >= 3


def alike(core: str, other: str, limit: float) -> bool:
    """Whether two cores are similar; short ones must be equal."""
    if core == other:
        return is_worded(core)
    if min(len(core), len(other)) < 8 or not 0.6 < len(core) / len(other) < 1.6:
        return False
    a, b = ({text[at : at + 2] for at in range(len(text) - 1)} for text in (core, other))
    return len(a & b) / len(a | b) >= limit


def is_number(line: str, due: int) -> bool:
    """Whether a line is the expected page number, perhaps misread or as `16 / 102`.

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
"""Maximum length of a word that may be a misread page number."""
NUMBER, NUMBERED, HEAD = "page number", "running head with page number", "running head"


def inside(text: str, edges: Sequence[Edge]) -> Counter[str]:
    """How often the edge lines also occur inside pages, digits normalised."""
    keys = {edge.key for edge in edges}
    starts = {edge.line.start for edge in edges}
    lengths = {len(edge.line.text.strip()) for edge in edges}
    near = {length + step for length in lengths for step in (-2, -1, 0, 1, 2)}
    counts: Counter[str] = Counter()
    for line in lines_of(text):
        stripped = line.text.strip()
        if stripped and len(stripped) in near and line.start not in starts:
            key = folded(stripped[:200])
            if key in keys:
                counts[key] += 1
    return counts


def edge(number: int, is_top: bool, slot: int, line: Line) -> Edge:
    """Compute the features of a line."""
    key = folded(line.text.strip()[:200])
    words = key.split()
    short = (len(words[0]) <= SHORT, len(words[-1]) <= SHORT) if words else (False, False)
    core = " ".join(words[short[0] : len(words) - short[1]])
    pairs = frozenset(core[at : at + 2] for at in range(len(core) - 1))
    offsets = tuple(value - number for value in numbers_of(line.text.strip()))
    first = len(words) > 1 and words[0] == "#" and "#" not in words[-1]
    return Edge(number, is_top, slot, line, key, pairs, short, first, offsets)


def numbers_of(line: str) -> list[int]:
    """Numbers that may be the page's: the first and the last word of a line.

    >>> numbers_of("12  Chapter 3. Lists"), numbers_of("- xiv -"), numbers_of("Index   1O1")
    ([12], [14], [101])
    """
    words = OF_ALL.sub(r"\1", line).split() if len(line) <= 200 else []
    if len(words) == 3 and not words[0].isalnum():
        words = words[1:2]
    numbers = []
    for word in dict.fromkeys(words[:1] + words[-1:]):
        match = EDGE_WORD.match(word)
        if match:
            last = re.split(r"[-–]", match.group(1))[-1]
            value = number_value(last)
            numbers += [] if value is None else [value]
    return numbers


def number_value(word: str) -> int | None:
    """Value of an arabic or roman number, misread digits included; None otherwise."""
    if len(word) > 6:
        return None
    if word.isascii() and word.isdecimal():
        return int(word)
    digits = word.translate(CONFUSED)
    if digits.isascii() and digits.isdecimal() and any(map(str.isdecimal, word)):
        return int(digits)
    return roman_value(word)


def similar(edge: Edge, other: Edge, limit: float) -> bool:
    """Whether two lines are the same head, up to single letters and misread numbers."""
    if edge.key == other.key:
        return True
    union = len(edge.pairs | other.pairs)
    return union > 0 and len(edge.pairs & other.pairs) / union >= limit


def is_sibling(edge: Edge, other: Edge) -> bool:
    """Whether two lines begin with the same numbered word and end with a page number.

    `Chapter 3: Lists 27` and `Chapter 4: Trees 3l` do.
    """
    begins = edge.key.split()[:2]
    return (
        edge.short[1]
        and other.short[1]
        and "#" in other.key.split()[-1]
        and len(begins) == 2
        and "#" in begins[1]
        and begins == other.key.split()[:2]
    )


def is_speck(line: str) -> bool:
    """Whether a line is a speck: at most three characters, no letter or digit."""
    return len(line) <= 3 and not any(map(str.isalnum, line))


def is_title(edge: Edge, alike: Sequence[Edge], numbered: bool) -> bool:
    """Whether a line is the chapter title that the following running heads repeat.

    The heads have a page number at one end where the title has none; without numbers, the title
    comes first and is typeset differently.
    """
    ends, times = Counter(other.short for other in alike).most_common(1)[0]
    if times * 2 >= len(alike) and any(ends):
        return numbered or any(end and not own for end, own in zip(ends, edge.short, strict=True))
    first = all(other.page > edge.page for other in alike)
    text = " ".join(edge.line.text.split())
    return first and all(" ".join(other.line.text.split()) != text for other in alike)
