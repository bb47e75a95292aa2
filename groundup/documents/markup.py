"""Markup: the text of an HTML file, mapped to its bytes.

One pass over the bytes with a regular expression for tags; no tree is built, so depth costs nothing
and nothing recurses. The rules:

- Runs of white space become one space, except inside <pre>. Blocks are separated by line breaks
  (a blank line for paragraphs, a newline for items and rows, a tab for cells). An empty cell has
  its tab too, so that each value stands below its head.
- Entities are decoded. Comments, scripts, styles, navigation, forms' fields and embedded media are
  dropped, and so are the ¶ and § links that Sphinx and rustdoc add to titles.
- What nobody sees on the page is dropped (web/hidden.py).
- Of a formula with its TeX source (KaTeX, MathJax, MediaWiki) only the source is text.
- Malformed markup is read as browsers do: a stray end tag is ignored, an open element ends
  with its parent, an open tag or comment at the end of the file is dropped.

Reading the bytes of any slice of the text by these rules gives the slice, except white space.
Knows nothing of paths or documents. Source: WHATWG HTML standard, §13.2.5 (tokenisation).
"""

import html
import re
from collections import defaultdict
from functools import lru_cache
from typing import Any, AnyStr, NamedTuple

from .document import Heading, Segments, SourceMap
from .readers.encodings import compose_maps, decode
from .web.hidden import GONE, SIZE, PageStyles

TAG = re.compile(
    rb"""<!--(?:-?>|.*?(?:--!?>|\Z))                                     # a comment
    |<(?P<end>/?)(?P<name>[a-zA-Z][^ \t\r\n\f/>]*)
      (?P<attributes>(?:[^>=]++|=[ \t\r\n\f]*+(?:"[^"]*+(?:"|\Z)|'[^']*+(?:'|\Z))?+)*+)(?:>|\Z)
    |<(?:[!?]|/(?![a-zA-Z]))[^>]*(?:>|\Z)                                # a declaration
    """,
    re.VERBOSE | re.DOTALL,
)
ENTITY = rb"&(?:#[0-9]+;?|#[xX][0-9a-fA-F]+;?|[a-zA-Z][a-zA-Z0-9]{0,31};?)"
ENTITY_OR_SPACE = re.compile(ENTITY + rb"|[\t\n\r\f][ \t\n\r\f]*| [ \t\n\r\f]+")
ENTITY_OR_WHITE_SPACE = re.compile(ENTITY + rb"|[ \t\n\r\f]+")
SPACE = re.compile(rb"[ \t\n\r\f]+")
ROW_TEXT = re.compile(r"\S.*\S", re.DOTALL)
EMPTY_LINES = re.compile(rb"(?:[ \t\f]*\r?\n)*")
BLANK_LINE, NEWLINE, TAB = 3, 2, 1
BREAKS = {3: "\n\n", 2: "\n", 1: "\t"}
COLUMNS = re.compile(
    rb"(?:colspan|:number-columns-(?:repeated|spanned))\s*=\s*[\"']?(\d{1,2})\b", re.I
)
"""Columns of a cell that has several, up to 99: more have no text after them."""
BLOCKS: dict[bytes, int] = {
    **dict.fromkeys(
        b"p h1 h2 h3 h4 h5 h6 ul ol dl table pre blockquote section article main header footer "
        b"aside details figure form fieldset address nav hr".split(),
        BLANK_LINE,
    ),
    **dict.fromkeys(
        b"html head body div li dt dd tr thead tbody tfoot caption figcaption summary legend "
        b"option br center".split(),
        NEWLINE,
    ),
    b"td": TAB,
    b"th": TAB,
}
AMPERSAND, SPACE_BYTE = b"& "
VOID = frozenset(b"br hr img input meta link wbr area base col embed source track param".split())
RAW = frozenset(b"script style textarea title xmp iframe noembed noframes".split())
DROPPED = frozenset(
    b"script style textarea xmp iframe noembed noframes template noscript nav svg object canvas "
    b"audio video select button".split()
)
DROPPED_BY_ATTRIBUTE = re.compile(
    rb"""(?:\brole\s*=\s*["']?navigation\b|\bclass\s*=\s*(?:["'][^"']*)?\b(?:headerlink|doc-anchor|katex-html)\b)""",
    re.IGNORECASE,
)
CHROME = (b"navigation", b"headerlink", b"doc-anchor", b"katex-html")
SPECIAL = frozenset((*BLOCKS, *VOID, *RAW, *DROPPED, b"semantics"))
"""Elements besides those within a line."""
RANGES = frozenset((b"a", b"table", b"tr", b"caption"))
CELLS = frozenset((b"td", b"th"))
LEVELS = {b"h%d" % level: level for level in range(1, 7)}
UNHIDDEN = VOID | {b"html", b"head", b"body"}
"""Elements without text, and those that hold the whole page, which a script may show."""
ENDED_BY_NEXT = frozenset(b"li dt dd tr td th".split())
IN_PARAGRAPH = frozenset(b"br html head body caption legend option".split())
IN_TABLE = frozenset(b"tr td th thead tbody tfoot".split())
"""Blocks that do not end a paragraph, and those that do in a table alone."""
WITH_FOOTERS = (b"article", b"blockquote", b"figure", b"details")
"""Elements whose footer is theirs and not the page's."""
MAX_FOOTER_CHARACTERS = 1_000
"""Maximum length of what a site repeats. Own choice: five times the longest of 1,976 real ones."""
MAX_MATHML_CHARACTERS = 20_000
"""Maximum length of a formula in MathML. Own choice: twice 100 signs of some 100 bytes."""


class Markup(NamedTuple):
    """The text, headings and metadata of a file, and how it was decoded."""

    map: SourceMap
    headings: tuple[Heading, ...]
    metadata: dict[str, Any]
    charset: str = "utf-8"
    replaced: int = 0
    """Number of undecodable bytes that became U+FFFD; not counted in HTML."""
    links: tuple[tuple[int, int], ...] = ()
    """Ranges of the text inside links of HTML."""
    tables: tuple[tuple[int, int], ...] = ()
    """Ranges of the text that are tables of HTML: a line for each row, tabs between its cells."""
    rows: tuple[tuple[int, int], ...] = ()
    """Ranges of the rows of these tables, which have several lines if their cells do."""
    items: tuple[tuple[int, int], ...] = ()
    """Ranges of the text with which items of lists begin."""
    footers: tuple[tuple[int, int], ...] = ()
    """Ranges of the text that are footers of the page, not of an article or a quotation in it."""

    def long_rows(self) -> list[tuple[int, int]]:
        """The ranges of the rows that have several lines, without white space at their ends."""
        rows = (ROW_TEXT.search(self.map.text, *row) for row in self.rows)
        return [row.span() for row in rows if row and "\n" in row[0]]

    def site_footers(self) -> list[tuple[int, int]]:
        """The ranges of the footers as sites have them, trimmed; a longer one has content."""
        texts = (ROW_TEXT.search(self.map.text, *each) for each in self.footers)
        return [each.span() for each in texts if each and len(each[0]) <= MAX_FOOTER_CHARACTERS]


def read_html(data: bytes, declared: str = "", repair: bool = False, styled: bool = True) -> Markup:
    """Text, map to the bytes, headings and title of an HTML file in any charset: see `decode`.

    styled  whether attributes and styles may hide elements: not in the XML of an office document

    Raises Refused, a DataError, if the bytes are binary or in no charset that fits.

    >>> page = read_html(b"<title>T</title><h1>Caf&eacute;</h1><p>Open <b>now</b>")
    >>> page.map.text, page.map.byte_range(0, 4), page.metadata
    ('Café\\n\\nOpen now', (20, 31), {'title': 'T'})
    """
    read = decode(data, declared, repair, "html")
    page, styles = read.map.text.encode("utf-8"), PageStyles() if styled else None
    markup = _HtmlExtractor(page, styles).run()
    if styles and styles.is_late:  # they may hide what was read before them
        styles.is_complete = True
        markup = _HtmlExtractor(page, styles).run()
    return markup._replace(map=compose_maps(markup.map, read.map), charset=read.charset)


def find_tex_source(page: AnyStr, at: int) -> int:
    """Offset of the TeX of a formula whose MathML begins at `at`; `at` itself if it has none.

    >>> find_tex_source("<mi>x</mi><annotation encoding='application/x-tex'>x</annotation>", 0)
    10
    """
    words: Any = ("application/x-tex", "</semantics", "<annotation")
    if isinstance(page, bytes):
        words = [word.encode() for word in words]
    source, end, opening = words
    found = page.find(source, at, at + MAX_MATHML_CHARACTERS)
    if found < 0 or page.find(end, at, found) >= 0:
        return at
    return max(at, page.rfind(opening, at, found))


@lru_cache(2**12)  # most elements of a page have one of few classes
def _hides_by_attribute(attributes: bytes) -> int:
    """GONE for chrome, another number if they may hide, 0 if only rules may."""
    words = attributes.lower()
    if any(map(words.__contains__, CHROME)) and DROPPED_BY_ATTRIBUTE.search(attributes):
        return GONE
    return SIZE if b"hidden" in words or b"style" in words else 0


class _HtmlExtractor:
    """One pass over a file: the text written so far and the open elements."""

    def __init__(self, data: bytes, styles: PageStyles | None) -> None:
        self.data, self.styles = data, styles
        self.is_xml = data[:64].lstrip().startswith(b"<?xml")
        self.parts: list[str] = []
        self.segments = Segments()
        self.numbers = self.segments.numbers  # six each
        self.exact_end = -1  # byte at which the last segment ends, if it is exact
        self.length = 0
        self.counted_bytes, self.line = 0, 1  # lines are counted up to this byte
        self.stack: list[bytes] = []
        self.open: defaultdict[bytes, int] = defaultdict(int)
        self.hidden = 0  # why what is read is dropped: GONE, VISIBILITY, SIZE; 0: it is not
        self.outside: list[tuple[int, int]] = []  # depth of an element and `hidden` outside it
        self.requested_break = 0  # the strongest line break requested since the last text
        self.held_space: list[tuple[int, int]] = []  # white space to write if text follows
        self.level = 0  # of the heading that is open, or 0
        self.heading_start = -1
        self.headings: list[Heading] = []
        self.links: list[tuple[int, int]] = []
        self.tables, self.rows = list[tuple[int, int]](), list[tuple[int, int]]()
        self.items, self.begins_item = list[tuple[int, int]](), False
        self.footers, self.footer = list[tuple[int, int]](), (0, 0)  # depth of the open one, start
        self.link_start, self.table_starts = -1, list[int]()
        self.rows_before: list[int] = []  # each open table
        self.row_start, self.cell_start = 0, -1  # -1: outside cells, or in one of paragraphs
        self.column = self.next_column = self.written_column = 0  # of the row that is open
        self.has_heads = self.is_xml  # a table without may only place things on a page
        self.title = ""

    def run(self) -> Markup:
        place, tags = 0, TAG.finditer(self.data)
        while tag := next(tags, None):
            start, end = tag.span()
            if start > place and not self.hidden:
                self.read_text(place, start)
            place = self.read_tag(tag, end)
            if place != end:  # what was skipped may look like tags
                tags = TAG.finditer(self.data, place)
        if place < len(self.data) and not self.hidden:
            self.read_text(place, len(self.data))
        self.end_heading()
        map = SourceMap("".join(self.parts), self.segments)
        metadata = {"title": self.title} if self.title else {}
        return Markup(map, tuple(self.headings), metadata, links=tuple(self.links),
                      tables=tuple(self.tables), rows=tuple(self.rows),
                      items=tuple(self.items), footers=tuple(self.footers))  # fmt: skip

    def read_tag(self, tag: re.Match[bytes], end: int) -> int:
        """Open or close an element; `end` is that of its tag. Returns the offset to continue at."""
        is_end, name, attributes = tag.group("end", "name", "attributes")
        if not name:
            return end  # a comment or declaration
        name = name.lower()
        if name in RANGES:
            self.mark_range(name, not is_end)
        if is_end:
            if name in BLOCKS or self.open[name]:
                self.close(name)
            return end
        if name in BLOCKS and self.stack and self.stack[-1] in (b"p", name) and not self.is_xml:
            self.end_implied(name)
        hidden = self.hides(name, attributes, end) if attributes or name in DROPPED else self.hidden
        if not (hidden or self.outside or name in SPECIAL):
            return end  # within a line
        if name in CELLS and not self.hidden:
            self.column = self.next_column
            columns = COLUMNS.search(attributes)
            self.next_column += int(columns[1]) if columns else 1
            self.has_heads |= name == b"th"
        ends_itself = attributes.endswith(b"/") and (self.is_xml or name == b"svg")
        if name in RAW and not ends_itself:
            return self.skip_raw(name, end, attributes)
        if not ends_itself:
            self.start(name, attributes, hidden)
        return find_tex_source(self.data, end) if name == b"semantics" else end

    def mark_range(self, name: bytes, opens: bool) -> None:
        """Note where a link or table begins, and its range when it ends."""
        if name == b"caption":
            if not opens and self.table_starts:
                self.table_starts[-1] = self.length  # the head of the table comes after it
            return
        if name != b"a" and self.rows and self.rows[-1][1] < 0:
            self.rows[-1] = (self.rows[-1][0], self.length)
            is_wide = self.next_column > 1 and not self.written_column
            if is_wide and self.table_starts and len(self.rows) == self.rows_before[-1] + 1:
                self.table_starts[-1], self.rows_before[-1] = self.length, len(self.rows)  # a title
        if name == b"tr" and opens:
            self.rows.append((self.length, -1))
        elif name == b"table" and opens:
            self.table_starts.append(self.length)
            self.rows_before.append(len(self.rows))
            self.has_heads = self.is_xml
        elif name == b"table" and self.table_starts:
            self.tables.append((self.table_starts.pop(), self.length))
            self.rows_before.pop()
        elif name == b"a" and self.link_start >= 0:
            self.links.append((self.link_start, self.length))
            self.link_start = self.length if opens else -1
        elif name == b"a" and opens:
            self.link_start = self.length

    def end_implied(self, name: bytes) -> None:
        """End the innermost element if another one that starts ends it."""
        if (above := self.stack[-1]) == b"p":
            if name not in IN_PARAGRAPH and (name not in IN_TABLE or self.open[b"table"]):
                self.pop()
        elif above == name and name in ENDED_BY_NEXT:
            self.pop()

    def hides(self, name: bytes, attributes: bytes, end: int) -> int:
        """What hides the text of an element whose tag ends there, as `hidden`."""
        if self.hidden & GONE or name in UNHIDDEN:
            return self.hidden
        if name in DROPPED or (found := _hides_by_attribute(attributes)) == GONE:
            return GONE
        if not (styles := self.styles):
            return self.hidden
        styles.is_asked = True
        if not (found or styles.hides or self.hidden):
            return self.hidden
        hides, shows = styles.effect(name, attributes)
        if hides and self.is_formula(end):
            return self.hidden
        return self.hidden & ~shows | hides

    def is_formula(self, start: int) -> bool:
        """Whether an element has nothing but a formula: MediaWiki shows a picture of it instead."""
        stop = self.data.find(b"</math>", start, start + MAX_MATHML_CHARACTERS)
        after = self.data[stop + 7 : stop + 20].lstrip()
        is_last = stop >= 0 and after.startswith(b"</")
        return is_last and self.data[start:stop].lstrip().startswith(b"<math")

    def skip_raw(self, name: bytes, start: int, attributes: bytes) -> int:
        """Skip an element with raw text; keep the first title, and styles."""
        end = re.compile(rb"</" + name + rb"(?=[ \t\r\n\f/>])", re.IGNORECASE)
        found = end.search(self.data, start)
        stop = found.start() if found else len(self.data)
        if name == b"style" and self.styles and not self.open[b"noscript"] + self.open[b"template"]:
            self.styles.add(self.data[start:stop], attributes)
        if name == b"title" and not self.title and not self.hidden:
            self.title = " ".join(html.unescape(self.data[start:stop].decode("utf-8")).split())
        if not found:
            return stop
        tag = TAG.match(self.data, stop)
        return tag.end() if tag else len(self.data)

    def start(self, name: bytes, attributes: bytes, hidden: int) -> None:
        """Open an element; `hidden` is what hides its text."""
        if name in BLOCKS:
            if name in CELLS or self.cell_start != self.length:
                self.request_break(BLOCKS[name])  # a cell's first paragraph continues its row
            if name in CELLS:
                self.end_cell()  # perhaps one without an end tag
                self.cell_start = self.length
            elif name == b"tr":
                self.row_start, self.cell_start = self.length, -1
                self.column = self.next_column = self.written_column = 0
            if self.heading_start >= 0 or name in LEVELS:
                self.end_heading()
            if name == b"li":
                self.begins_item = not hidden
        if name in VOID or not (name in BLOCKS or hidden != self.hidden or self.open[name]):
            return
        self.stack.append(name)
        self.open[name] += 1
        if hidden != self.hidden:
            self.outside.append((len(self.stack), self.hidden))
            self.hidden = hidden
        if not hidden:
            self.level = LEVELS.get(name, self.level)
            is_footer = name == b"footer" or b"contentinfo" in attributes
            if is_footer and not self.footer[0] and not any(map(self.open.get, WITH_FOOTERS)):
                self.footer = (len(self.stack), self.length)

    def close(self, name: bytes) -> None:
        """Close an element and the open ones inside it; a stray end tag closes nothing."""
        if self.open[name]:
            while self.pop() != name:
                pass
        if name in BLOCKS and not (name in CELLS and self.end_cell()):
            self.request_break(BLOCKS[name])

    def end_cell(self) -> bool:
        """End a cell of one paragraph, whose end asks for no more than a tab; False for others."""
        is_line = self.cell_start >= 0 and self.length > max(self.cell_start, self.row_start)
        if is_line:
            self.requested_break = TAB
        self.cell_start = -1
        return is_line

    def pop(self) -> bytes:
        name = self.stack.pop()
        self.open[name] -= 1
        if self.outside and self.outside[-1][0] > len(self.stack):
            self.hidden = self.outside.pop()[1]
        if self.footer[0] > len(self.stack):
            self.footers.append((self.footer[1], self.length))
            self.footer = (0, 0)
        if name in LEVELS and not self.hidden:
            self.end_heading()
        if name == b"li":
            self.begins_item = False
        return name

    def end_heading(self) -> None:
        if self.level and self.heading_start >= 0:
            self.headings.append(Heading(self.level, self.heading_start, self.length))
        self.level, self.heading_start = 0, -1

    def request_break(self, strength: int) -> None:
        if not self.hidden:
            self.requested_break = max(self.requested_break, strength)
            self.held_space.clear()

    def read_text(self, start: int, stop: int) -> None:
        """Write a text between two tags: plain runs, entities and white space."""
        data, preformatted = self.data, self.open[b"pre"] > 0
        if self.requested_break and not preformatted:
            if not data[start:stop].strip(b" \t\n\r\f"):
                return  # the break replaces white space
        elif preformatted and (self.requested_break or not self.length):
            lines = EMPTY_LINES.match(data, start, stop)
            start = lines.end() if lines else start
        pattern = ENTITY_OR_WHITE_SPACE if preformatted else ENTITY_OR_SPACE
        for piece in pattern.finditer(data, start, stop):
            place, end = piece.span()
            if start < place:
                self.write_plain(start, place, preformatted)
            if data[place] == AMPERSAND:
                self.write_entity(place, end, preformatted)
            else:
                self.hold_space(place, end, preformatted)
            start = end
        if start < stop:
            self.write_plain(start, stop, preformatted)

    def write_plain(self, start: int, stop: int, preformatted: bool) -> None:
        """Write bytes without entities, and single spaces at their ends as white space."""
        data = self.data
        if data[start] == SPACE_BYTE:
            self.hold_space(start, start + 1, preformatted)
            start += 1
        last = stop - 1 if start < stop and data[stop - 1] == SPACE_BYTE else stop
        if start < last:
            self.write(start, last, data[start:last].decode("utf-8"), True)
        if last < stop:
            self.hold_space(last, stop, preformatted)

    def write_entity(self, start: int, stop: int, preformatted: bool) -> None:
        """Write a decoded entity; an unknown one is written as it is."""
        source = self.data[start:stop].decode("ascii")
        text = html.unescape(source)
        if text in " \t\n\r\f" and text and not preformatted:
            self.hold_space(start, stop, False)
        elif text:
            self.write(start, stop, text, text == source)

    def hold_space(self, start: int, stop: int, preformatted: bool) -> None:
        """Hold white space until text follows it; outside <pre> only the first run counts."""
        if preformatted:
            self.held_space.append((start, stop))
        elif not (self.requested_break or self.held_space) and self.length:
            if not self.parts[-1][-1].isspace():
                self.held_space.append((start, stop))

    def write(self, start: int, stop: int, text: str, exact: bool) -> None:
        """Write a text, and the break or white space before it."""
        if self.requested_break == BLANK_LINE and self.length > self.cell_start:
            self.cell_start = -1
        if gap := self.gap():
            place = self.held_space[0][0] if self.held_space else start
            self.append(place, place, gap, False)
        self.requested_break, self.written_column = 0, self.column
        if self.held_space:
            for a, b in self.held_space:
                space = self.data[a:b].decode("ascii")
                keep = space == " " or self.open[b"pre"] > 0
                self.append(a, b, space if keep else " ", keep)
            self.held_space.clear()
        if self.level and self.heading_start < 0:
            self.heading_start = self.length
        if self.begins_item:
            self.items.append((self.length, self.length + len(text)))
            self.begins_item = False
        self.append(start, stop, text, exact)

    def gap(self) -> str:
        """The break that was requested before a text, with the tabs of the empty cells before."""
        gap = BREAKS.get(self.requested_break, "") if self.length else ""
        tabs = self.column - self.written_column
        if self.requested_break == TAB:
            return gap * max(1, tabs)
        return gap + "\t" * tabs if self.has_heads and self.length == self.row_start else gap

    def append(self, start: int, stop: int, text: str, exact: bool) -> None:
        """Add a segment, merged with the previous one if both are exact and adjacent."""
        begin, self.length = self.length, self.length + len(text)
        self.parts.append(text)
        follows = exact and self.exact_end == start
        self.exact_end = stop if exact else -1
        if follows:
            self.numbers[-5], self.numbers[-3] = self.length, stop
            return
        self.line += self.data.count(b"\n", self.counted_bytes, start)
        self.counted_bytes = start
        self.numbers.extend((begin, self.length, start, stop, self.line, exact))
