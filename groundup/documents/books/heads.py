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

from ..record import PASS, Record, StepResult, TextEdit
from .pages import BookLine, BookPage, find_pages, normalize_line, parse_roman, split_into_lines

OCR_DIGITS = str.maketrans(
    {"O": "0", "o": "0", "l": "1", "I": "1", "i": "1", "|": "1", "S": "5", "B": "8", "Z": "2"}
)
EDGE_WORD = re.compile(r"^\W{0,3}(?:page\s+)?([\w|]+(?:[-–][\w|]+)*)\W{0,3}$", re.IGNORECASE)
NUMBER_OF_TOTAL = re.compile(r"\b(\d{1,5}) ?/ ?\d{1,5}$")
"""A page number with the total, such as `16/102`."""
MAX_NUMBER_LENGTH = 3  # Maximum length of a word that may be a misread page number
NUMBER, NUMBERED, HEAD = "page number", "running head with page number", "running head"


class HeadsConfig(Config):
    """When a line at a page edge is a running head or a page number."""

    lines: int = 3
    """Number of lines considered at either edge of a page. Source: own, from research notes."""
    window: int = 8
    """Number of pages before and after that are compared. Source: own; a chapter head needs few."""
    similarity: float = 0.7
    """Share of common letter bigrams from which two normalised lines are the same head. Source:
    own, frozen on the first manual of benchmarks/documents/books.py."""
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


class _EdgeLine(NamedTuple):
    page: int
    is_top: bool
    depth: int  # 0 for the outermost line
    line: BookLine
    key: str
    bigrams: frozenset[str]  # of the key without short ends, which may be a misread number
    has_short_ends: tuple[bool, bool]  # whether the first word is short, and whether the last is
    is_first_word_number: bool  # and only the first
    offsets: tuple[int, ...]  # page number minus page count, by number at either end of the line


class Heads:
    """Removes running heads and page numbers; marks pages that nothing else marked."""

    def __init__(self, config: HeadsConfig) -> None:
        self.config = config

    def __call__(self, record: Record) -> StepResult:
        paged = find_pages(record)
        if len(paged.pages) < 3:
            return PASS
        edges = [
            edge for n, page in enumerate(paged.pages) for edge in self._edge_lines(record, n, page)
        ]
        reasons = self._select_removals(edges, len(paged.pages), _count_inside(record.text, edges))
        reasons += _LostHeads(self.config, record.text, paged.pages, reasons).find_all()
        reasons.sort(key=lambda item: item[0].line.start)
        edits = [
            TextEdit(edge.line.start, min(edge.line.end + 1, paged.pages[edge.page].end), reason)
            for edge, reason in reasons
        ]
        cut = {edit.end - 1 for edit in edits}
        feeds = (match.start() for match in re.finditer("\f", record.text))
        edits += [TextEdit(at, at + 1, "form feed", "\n") for at in feeds if at not in cut]
        numbered = sum(reason == NUMBER for _, reason in reasons)
        metadata = {
            "pages": len(paged.pages),
            "pages_from": paged.source,
            "running_heads": len(reasons) - numbered,
            "page_numbers": numbered,
        }
        return StepResult(edits=tuple(sorted(edits)), metadata=metadata, spans=paged.new_spans())

    def _edge_lines(self, record: Record, number: int, page: BookPage) -> list[_EdgeLine]:
        # A line of three characters without letter or digit is a speck.
        lines = [
            line
            for line in split_into_lines(record.text, page.start, page.end)
            if len(line.text.strip()) > 3 or any(map(str.isalnum, line.text))
        ]
        reach = min(self.config.lines, (len(lines) + 1) // 2)
        bottom = lines[reach:][: -self.config.lines - 1 : -1]
        return [_make_edge_line(number, True, n, line) for n, line in enumerate(lines[:reach])] + [
            _make_edge_line(number, False, n, line) for n, line in enumerate(bottom)
        ]

    def _select_removals(
        self, edges: Sequence[_EdgeLine], pages: int, inside_counts: Counter[str]
    ) -> list[tuple[_EdgeLine, str]]:
        """The lines to remove, each with its reason, from the outermost line inwards.

        `inside_counts` counts normalised lines inside pages: a line as frequent there is text.
        """
        sides: dict[tuple[int, bool], list[_EdgeLine]] = {}
        for edge in edges:
            sides.setdefault((edge.page, edge.is_top), []).append(edge)
        frequent = Counter(edge.key for edge in {(e.page, e.key): e for e in edges}.values())
        removed = []
        for side in sides.values():
            numbered = False
            for edge in side:
                near = self._neighbors(edge, sides)
                is_text = inside_counts[edge.key] * 2 > frequent[edge.key]
                share = frequent[edge.key] / pages
                reason = "" if numbered else self._page_number_reason(edge, near)
                numbered = numbered or bool(reason)  # a page has one number
                if not reason and not is_text:
                    reason = self._running_head_reason(edge, near, share, numbered)
                if not reason:
                    break
                removed.append((edge, reason))
        return removed

    def _neighbors(
        self, edge: _EdgeLine, sides: dict[tuple[int, bool], list[_EdgeLine]]
    ) -> list[_EdgeLine]:
        pages = range(edge.page - self.config.window, edge.page + self.config.window + 1)
        return [
            other
            for page in pages
            if page != edge.page
            for other in sides.get((page, edge.is_top), ())
            if abs(other.depth - edge.depth) <= 1
        ]

    def _page_number_reason(self, edge: _EdgeLine, near: Sequence[_EdgeLine]) -> str:
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
            drifts = range(offset - config.drift, offset + config.drift + 1)
            loose = {e.page for e in near if any(o in drifts for o in e.offsets)}
            if len(exact) >= needed or len(loose) >= (needed if alone else 2 * needed):
                best = NUMBER if alone else NUMBERED
        if best == NUMBERED and edge.is_first_word_number:
            alike = [other for other in near if _are_similar_lines(edge, other, config.similarity)]
            if not alike or _is_chapter_title(edge, alike, False):  # `1 Introduction`
                best = ""
        size = len("".join(edge.line.text.split()))
        if not best and not edge.depth and size <= MAX_NUMBER_LENGTH:
            # A scrap where neighbouring pages have their number is the number, misread.
            alone = [other for other in near if not other.depth and len(other.key.split()) == 1]
            offsets = Counter(offset for other in alone for offset in other.offsets)
            if max(offsets.values(), default=0) >= 2 * config.numbers:
                return NUMBER
        return best

    def _running_head_reason(
        self, edge: _EdgeLine, near: Sequence[_EdgeLine], share: float, has_number: bool
    ) -> str:
        """Reason if a line is a running head, else empty.

        `has_number`: a line further out has the number.
        """
        letters = sum(map(str.isalpha, edge.key))
        if letters >= 3 and share >= self.config.book_share:
            return HEAD
        limit = self.config.similarity
        alike = [other for other in near if _are_similar_lines(edge, other, limit)]
        alike += [o for o in near if o not in alike and _are_numbered_siblings(edge, o)]
        enough = letters >= 5 and len({o.page for o in alike}) >= self.config.recurrences
        return HEAD if enough and not _is_chapter_title(edge, alike, has_number) else ""


class _LostHeads:
    """Heads that OCR placed inside a page, behind specks, or split into two pieces.

    A page without a head is searched if neighbouring pages, one before it included, share one: a
    single line of the page may match it, and the number next to that line or at the edge must be
    the expected one. A chapter's first page, whose title the later heads repeat, has no such page
    before it.
    """

    def __init__(
        self, config: HeadsConfig, text: str, pages: Sequence[BookPage],
        removed: Sequence[tuple[_EdgeLine, str]],
    ) -> None:  # fmt: skip
        self.config, self.text, self.pages = config, text, pages
        self.removed_starts = {edge.line.start for edge, _ in removed}
        cores = {e.page: _strip_numbers(e.key) for e, why in removed if why != NUMBER}
        self.heads_by_page = {page: words for page, words in cores.items() if _has_words(words)}
        self.numbers_by_page = {edge.page: edge for edge, _ in removed if edge.offsets}

    def find_all(self) -> list[tuple[_EdgeLine, str]]:
        """Lost heads and numbers of all pages, with their reasons."""
        strays: list[tuple[_EdgeLine, str]] = []
        for page in range(len(self.pages)):
            heads, due = self.missing_heads(page), self.missing_number(page)
            if heads or due is not None:
                strays += self.find_on_page(page, heads, due)
        texts = self.count_inside_pages(
            {_strip_numbers(stray.key) for stray, why in strays if why != NUMBER}
        )
        return [
            (stray, why)
            for stray, why in strays
            if why == NUMBER or texts[_strip_numbers(stray.key)] * 10 <= len(self.heads_by_page)
        ]

    def window_pages(self, page: int) -> Iterator[int]:
        first = max(0, page - self.config.window)
        last = min(len(self.pages), page + self.config.window + 1)
        return (other for other in range(first, last) if other != page)

    def missing_heads(self, page: int) -> list[str]:
        if page in self.heads_by_page:
            return []
        heads, others = self.heads_by_page, self.window_pages(page)
        near = [(other, heads[other]) for other in others if other in heads]
        times = Counter(words for _, words in near)
        before = {words for other, words in near if other < page}
        return [w for w, n in times.items() if n >= self.config.recurrences and w in before]

    def missing_number(self, page: int) -> int | None:
        if page in self.numbers_by_page:
            return None
        numbers, others = self.numbers_by_page, self.window_pages(page)
        near = [numbers[other] for other in others if other in numbers]
        offsets = Counter(offset for edge in near for offset in edge.offsets)
        offset, times = offsets.most_common(1)[0] if offsets else (0, 0)
        return page + offset if times >= 2 * self.config.numbers else None

    def find_on_page(
        self, page: int, heads: Sequence[str], missing_number: int | None
    ) -> Iterator[tuple[_EdgeLine, str]]:
        bounds = self.pages[page]
        lines = [
            line
            for line in split_into_lines(self.text, bounds.start, bounds.end)
            if line.text.strip() and line.start not in self.removed_starts
        ]
        last, head = len(lines) - 1, None
        matching = [
            at for at, line in enumerate(lines) if self.matches_head(line, heads, at in (0, last))
        ]
        if len(matching) == 1:
            head = matching[0]
            yield _make_edge_line(page, head == 0, 0, lines[head]), HEAD
        beside = {0, last} if head is None else {0, last, head - 1, head + 1}
        beside = {at for at in beside - {head} if 0 <= at <= last}
        for at in sorted(beside):
            if missing_number is not None and _is_expected_number(lines[at].text, missing_number):
                yield _make_edge_line(page, at == 0, 0, lines[at]), NUMBER
                return

    def matches_head(self, line: BookLine, heads: Sequence[str], is_edge: bool) -> bool:
        stripped = line.text.strip()
        if not heads or len(stripped) > 2 * max(map(len, heads)) + 12:
            return False
        key = normalize_line(stripped)
        bare = _strip_numbers(key)
        words = bare.split()
        forms = {bare}
        if is_edge and len(words) > 1:
            forms |= {" ".join(words[1:])} if len(words[0]) <= MAX_NUMBER_LENGTH else set()
            forms |= {" ".join(words[:-1])} if len(words[-1]) <= MAX_NUMBER_LENGTH else set()
        limit = self.config.similarity
        return any(_are_similar_cores(form, head, limit) for form in forms for head in heads)

    def count_inside_pages(self, cores: set[str]) -> Counter[str]:
        counts: Counter[str] = Counter()
        longest = 2 * max(map(len, cores), default=0) + 12
        for page in self.heads_by_page if cores else ():
            bounds = self.pages[page]
            for line in split_into_lines(self.text, bounds.start, bounds.end):
                stripped = line.text.strip()
                if 0 < len(stripped) <= longest and line.start not in self.removed_starts:
                    counts[_strip_numbers(normalize_line(stripped))] += 1
        return counts


def _strip_numbers(key: str) -> str:
    """A normalised line without numbers and punctuation at its ends."""
    words = key.split()
    while words and not any(map(str.isalpha, words[-1])):
        words.pop()
    first = next((n for n, word in enumerate(words) if any(map(str.isalpha, word))), 0)
    return " ".join(words[first:])


def _has_words(words: str) -> bool:
    return sum(map(str.isalpha, words)) >= 3


def _are_similar_cores(core: str, other: str, limit: float) -> bool:
    if core == other:
        return _has_words(core)
    if min(len(core), len(other)) < 8 or not 0.6 < len(core) / len(other) < 1.6:
        return False
    a, b = ({text[at : at + 2] for at in range(len(text) - 1)} for text in (core, other))
    return len(a & b) / len(a | b) >= limit


def _is_expected_number(line: str, expected_number: int) -> bool:
    """Whether a line is the expected page number, perhaps misread or as `16 / 102`."""
    words = NUMBER_OF_TOTAL.sub(r"\1", line[:60].strip()).split()
    bare = [word for word in words if any(map(str.isalnum, word)) and word.lower() != "page"]
    if len(bare) != 1:
        return False
    word = bare[0].strip("-–—[]().")
    misread = word.translate(OCR_DIGITS)
    return _parse_page_number(word) == expected_number or misread == str(expected_number)


def _count_inside(text: str, edges: Sequence[_EdgeLine]) -> Counter[str]:
    keys = {edge.key for edge in edges}
    starts = {edge.line.start for edge in edges}
    lengths = {len(edge.line.text.strip()) for edge in edges}
    near = {length + step for length in lengths for step in (-2, -1, 0, 1, 2)}
    counts: Counter[str] = Counter()
    for line in split_into_lines(text):
        stripped = line.text.strip()
        if stripped and len(stripped) in near and line.start not in starts:
            key = normalize_line(stripped[:200])
            if key in keys:
                counts[key] += 1
    return counts


def _make_edge_line(number: int, is_top: bool, slot: int, line: BookLine) -> _EdgeLine:
    key = normalize_line(line.text.strip()[:200])
    words = key.split()
    first, last = (words[0], words[-1]) if words else ("", "")
    short = (0 < len(first) <= MAX_NUMBER_LENGTH, 0 < len(last) <= MAX_NUMBER_LENGTH)
    core = " ".join(words[short[0] : len(words) - short[1]])
    pairs = frozenset(core[at : at + 2] for at in range(len(core) - 1))
    offsets = tuple(value - number for value in _page_number_candidates(line.text.strip()))
    is_numbered = len(words) > 1 and first == "#" and "#" not in last
    return _EdgeLine(number, is_top, slot, line, key, pairs, short, is_numbered, offsets)


def _page_number_candidates(line: str) -> list[int]:
    """Numbers that may be the page's: the first and the last word of a line."""
    words = NUMBER_OF_TOTAL.sub(r"\1", line).split() if len(line) <= 200 else []
    if len(words) == 3 and not words[0].isalnum():
        words = words[1:2]
    matches = map(EDGE_WORD.match, dict.fromkeys(words[:1] + words[-1:]))
    values = (_parse_page_number(re.split(r"[-–]", match[1])[-1]) for match in matches if match)
    return [value for value in values if value is not None]


def _parse_page_number(word: str) -> int | None:
    if len(word) > 6:
        return None
    if word.isascii() and word.isdecimal():
        return int(word)
    digits = word.translate(OCR_DIGITS)
    if digits.isascii() and digits.isdecimal() and any(map(str.isdecimal, word)):
        return int(digits)
    return parse_roman(word)


def _are_similar_lines(edge: _EdgeLine, other: _EdgeLine, limit: float) -> bool:
    if edge.key == other.key:
        return True
    union = len(edge.bigrams | other.bigrams)
    return union > 0 and len(edge.bigrams & other.bigrams) / union >= limit


def _are_numbered_siblings(edge: _EdgeLine, other: _EdgeLine) -> bool:
    # `Chapter 3: Lists 27` and `Chapter 4: Trees 3l` are.
    words = other.key.split()
    is_same = len(words) > 1 and "#" in words[1] and words[:2] == edge.key.split()[:2]
    return is_same and edge.has_short_ends[1] and other.has_short_ends[1] and "#" in words[-1]


def _is_chapter_title(edge: _EdgeLine, alike: Sequence[_EdgeLine], has_number: bool) -> bool:
    """Whether a line is the chapter title that the following running heads repeat.

    The heads have a page number at one end where the title has none; without numbers, the title
    comes first and is typeset differently.
    """
    ends, times = Counter(other.has_short_ends for other in alike).most_common(1)[0]
    if times * 2 >= len(alike) and any(ends):
        own_ends = edge.has_short_ends
        return has_number or any(end and not own for end, own in zip(ends, own_ends, strict=True))
    first = all(other.page > edge.page for other in alike)
    text = " ".join(edge.line.text.split())
    return first and all(" ".join(other.line.text.split()) != text for other in alike)


PAGE_COUNT = re.compile(r"\d\s*(?:/|of|von|de|sur)\s*\d|\b(?:page|seite|p\.)\s*\d", re.IGNORECASE)
"""What counts the pages in a running head or foot."""


def running_heads(record: Record) -> list[tuple[int, int]]:
    """Lines at the edges of a record's pages that are the same on most of them.

    What differs in a number is text, unless the number counts the pages: "3/9", "page 3".
    """
    found = Heads(HeadsConfig())(record)
    lines = {(e.start, e.end): record.text[e.start : e.end].strip() for e in found.edits}
    for place, line in lines.items():
        lines[place] = normalize_line(line) if PAGE_COUNT.search(line) else line
    counts = Counter(lines.values())
    least = max(3.0, found.metadata.get("pages", 0) / 2)
    return [place for place, line in lines.items() if line and counts[line] >= least]
