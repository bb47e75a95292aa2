"""Office files: text of documents and presentations, mapped to the bytes of their XML.

A .docx, .odt, .ods, .odp or .pptx is a zip with its text in XML: word/document.xml and the slides
(ECMA-376, WordprocessingML and PresentationML) or content.xml (OpenDocument 1.3). Slides and their
notes are joined in the order of the presentation. The tags are renamed in place to those of HTML,
byte for byte, so that the one reader of markup gives text, headings, tables and the map: a slice of
the text comes from a range of the XML, and the range without its tags is the slice. Deleted text,
comments, field codes, footers and numbers of slides are dropped. What a spreadsheet repeats (a
million empty rows) is read once. The limits of archives.py apply.

The strings of an .xlsx are kept apart from its cells, so a cell has no bytes of its own. As in a
PDF every character maps to the complete file, and a quote is found again on its page: the number
of its sheet. Numbers are written as the sheet shows them, without separators of thousands. Work is
limited by counts, so results are the same on every machine. Parser: openpyxl.

An .rtf (Rich Text Format 1.9.1) is text between control words, so every character has its bytes.
"""

import codecs
import datetime
import io
import posixpath
import re
import warnings
import zipfile
from collections.abc import Callable, Iterator
from typing import Any

from groundup.core import MissingExtra

from ..document import TextSpan, heading_spans
from ..markup import Markup, read_html
from ..record import ExtractedText
from .archives import UNPACK_ERRORS, ArchiveConfig, checked_entries, read_entry
from .books import join_pages
from .encodings import SourceMapBuilder
from .reader import Refused

OFFICE_PARTS = {
    "docx": "word/document.xml", "pptx": "ppt/presentation.xml", "odt": "content.xml",
    "ods": "content.xml", "odp": "content.xml",
}  # fmt: skip
TAGS = {
    b"w:p": b"p", b"w:tbl": b"table", b"w:tr": b"tr", b"w:tc": b"td", b"w:br": b"br",
    b"w:cr": b"br", b"w:tab": b"br", b"w:instrText": b"style", b"w:delText": b"style",
    b"a:p": b"p", b"a:br": b"br", b"a:tbl": b"table", b"a:tr": b"tr",
    b"a:tc": b"td", b"text:p": b"p", b"text:h": b"p", b"table:table": b"table",
    b"table:table-row": b"tr", b"table:table-cell": b"td", b"text:line-break": b"br",
    b"text:tab": b"br", b"text:list": b"ul", b"text:list-item": b"li",
    b"office:annotation": b"style", b"text:tracked-changes": b"style",
    b"table:tracked-changes": b"style", b"draw:page": b"div",
} | dict.fromkeys(
    b"mc:Fallback a:fld a:tableStyleId a:extLst p:extLst p:timing wp:positionH wp:positionV "
    b"wp14:sizeRelH wp14:sizeRelV".split(), b"nav",
)  # fmt: skip
"""Tags that mean something to a reader, and the tag of HTML that means the same."""
TAG = re.compile(rb"(</?)([a-zA-Z]\w*:[a-zA-Z-]+)(?=[\s/>])([^>]*)")
DECLARATION = re.compile(rb"\A\s*<\?xml[^>]*>")
PARAGRAPH = re.compile(rb"<w:p(?=[ >])(?:(?!<w:p[ >]).)*?</w:p>", re.DOTALL)
STYLE = re.compile(rb'<w:pStyle w:val="(?:[Hh]eading|berschrift|Titre|Ttulo|Title)\s?([1-6]?)"')
STYLE_RULES = re.compile(rb"<w:style\s(?:(?!</w:style>).)*", re.DOTALL)
STYLE_ID = re.compile(rb'\sw:styleId="([^"]*)"')
BASED_ON = re.compile(rb'<w:basedOn w:val="([^"]*)"')
PARAGRAPH_STYLE = re.compile(rb'<w:pStyle w:val="([^"]*)"')
LIST_NUMBER = re.compile(rb'<w:numPr>(?:(?!</w:numPr>).)*?<w:numId w:val="(\d+)"', re.DOTALL)
"""The list that a paragraph is in; 0 takes it out of the one of its style."""
MAX_STYLE_DEPTH = 10
OUTLINE = re.compile(
    rb'(<text:h)(?=\s)([^<>]*text:outline-level="([1-6])")((?:(?!<text:h\s).)*?)(</text:h>)',
    re.DOTALL,
)
SHEET = re.compile(rb'<table:table(?=\s)([^<>]*?\stable:name=")([^"<>]+)(")([^<>]*>)')
SHAPE = re.compile(rb"<p:sp(?=[ >])(?:(?!<p:sp[ >]).)*?</p:sp>", re.DOTALL)
PLACEHOLDER = re.compile(rb'<p:ph(?=\s)[^<>]*\stype="(\w+)"')
FRAME = re.compile(
    rb'<draw:frame(?=\s)[^<>]*\spresentation:class="title"(?:(?!<draw:frame\s).)*?</draw:frame>',
    re.DOTALL,
)
TITLE_LINE = re.compile(rb"(</?)(?:a:p|text:p)(?=[\s/>])")
SLIDE_ID = re.compile(rb'<p:sldId\s[^<>]*?\br:id="([^"]+)"')
RELATIONSHIP = re.compile(rb"<Relationship\s[^<>]*>")
ATTRIBUTE = re.compile(r'\b(Id|Type|Target)="([^"]*)"')
OLE = b"\xd0\xcf\x11\xe0"
"""How an encrypted office file begins, and one of a format before 2007."""
LINE_KINDS = frozenset(("ods", "odp", "pptx"))
"""Kinds whose cells are one line each; a cell of a document may hold pages."""


def read_office(data: bytes, kind: str, max_bytes: int) -> tuple[ExtractedText, dict[str, Any]]:
    """Text with spans of headings, tables and their rows of several lines, and the title.

    Raises Refused for an encrypted, broken or too large file.
    """
    page = read_part(office_part(data, kind, max_bytes), kind)
    tables = [TextSpan("table", start, end) for start, end in page.tables]
    rows = [TextSpan("row", start, end) for start, end in page.long_rows()]
    items = [TextSpan("item", start, end) for start, end in page.items]
    spans = (*heading_spans(page.headings), *tables, *rows, *items)
    return ExtractedText(page.map, spans), page.metadata


def office_part(data: bytes, kind: str, max_bytes: int) -> bytes:
    """The XML that has the text, of a presentation all slides; Refused if there is none.

    In that of a .docx, what the styles of its paragraphs mean is renamed already.
    """
    if data.startswith(OLE):
        raise Refused("encrypted", "it needs a password, or is of a format before 2007")
    config = ArchiveConfig(max_bytes=max_bytes, max_total_bytes=max(max_bytes, 2**20))
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            entries = {entry.filename: entry for entry in checked_entries(archive, config)}

            def read(name: str) -> bytes:
                return read_entry(archive, entries[name], config) if name in entries else b""

            if OFFICE_PARTS[kind] not in entries:
                raise Refused("broken file", f"it has no {OFFICE_PARTS[kind]}")
            if b"<manifest:encryption-data" in read("META-INF/manifest.xml"):
                raise Refused("encrypted", "it needs a password")
            part = read(OFFICE_PARTS[kind])
            if kind == "docx":
                return _rename_paragraphs(part, read("word/styles.xml"))
            return (
                b"".join(map(read, dict.fromkeys(_slides(part, read)))) if kind == "pptx" else part
            )
    except UNPACK_ERRORS as error:
        raise Refused("broken file", str(error)[:200]) from None


def _slides(presentation: bytes, read: Callable[[str], bytes]) -> Iterator[str]:
    """Names of a presentation's slides in its order, each followed by its notes."""
    targets = _targets(OFFICE_PARTS["pptx"], read)
    names = (
        targets.get(id.decode("utf-8", "replace"), "") for id in SLIDE_ID.findall(presentation)
    )
    for name in filter(None, names):
        yield name
        yield from (note for note in _targets(name, read).values() if "/notesSlides/" in note)


def _targets(part: str, read: Callable[[str], bytes]) -> dict[str, str]:
    """Names of the parts that a part refers to, by the id of the relationship."""
    folder, name = posixpath.split(part)
    targets = {}
    for element in RELATIONSHIP.findall(read(f"{folder}/_rels/{name}.rels")):
        stated = dict(ATTRIBUTE.findall(element.decode("utf-8", "replace")))
        path = posixpath.join("/" + folder, stated.get("Target", ""))
        targets[stated.get("Id", "")] = posixpath.normpath(path).lstrip("/")
    return targets


def read_part(part: bytes, kind: str) -> Markup:
    """Text, map, headings and tables of the XML; the title is the first heading of level 1."""
    part = DECLARATION.sub(lambda match: b" " * len(match[0]), part)
    if kind in RENAMED:
        pattern, rename = RENAMED[kind]
        part = pattern.sub(rename, part)
    page = read_html(_rename_tags(part, kind in LINE_KINDS), styled=False)
    text = page.map.text
    title = next((text[h.start : h.end] for h in page.headings if h.level == 1), "")
    if kind == "ods":  # the name of a sheet is a heading, so its rows follow up to the next
        ends = [*(heading.start for heading in page.headings[1:]), len(text)]
        sheets = zip((heading.end for heading in page.headings), ends, strict=False)
        page = page._replace(tables=tuple(sheets))
    return page._replace(metadata={"title": title} if title else {})


def _rename_paragraphs(part: bytes, styles: bytes) -> bytes:
    """The paragraphs with a heading's style as headings, and those in lists as items."""
    listed = _list_styles(styles)

    def rename(paragraph: re.Match[bytes]) -> bytes:
        heading, text = STYLE.search(paragraph[0]), paragraph[0]
        now = text.partition(b"<w:pPrChange")[0]  # behind it stands what it was before
        number, style = LIST_NUMBER.search(now), PARAGRAPH_STYLE.search(now)
        is_item = number[1] != b"0" if number else style is not None and style[1] in listed
        if heading is None and not is_item:
            return text
        name = b"h" + (heading[1] or b"1") + b" " if heading else b"li "
        return b"<" + name + text[4:-6] + b"</" + name + b">"

    return PARAGRAPH.sub(rename, part)


def _list_styles(styles: bytes) -> set[bytes]:
    """Ids of the styles that put a paragraph into a list, by themselves or the one they extend."""
    lists, bases = dict[bytes, bool](), dict[bytes, bytes]()
    for rules in STYLE_RULES.findall(styles):
        id, base, number = (each.search(rules) for each in (STYLE_ID, BASED_ON, LIST_NUMBER))
        if id and (number or b"<w:outlineLvl" in rules):  # a numbered title is no item
            lists[id[1]] = bool(number) and number[1] != b"0" and b"<w:outlineLvl" not in rules
        elif id and base:
            bases[id[1]] = base[1]
    for _ in range(MAX_STYLE_DEPTH):
        lists |= {id: lists[base] for id, base in bases.items() if base in lists}
    return {id for id, is_list in lists.items() if is_list}


def _rename_outline(heading: re.Match[bytes]) -> bytes:
    name = b"h" + heading[3]
    start, end = b"<" + name.ljust(6), b"</" + name.ljust(6) + b">"
    return start + heading[2] + heading[4] + end


def _rename_sheet(table: re.Match[bytes]) -> bytes:
    """The start of a sheet as a heading, its name; the first row ends it."""
    rest = table[4]
    close = b"<i".ljust(len(rest)) + b">" if len(rest) > 2 else b" " * (len(rest) + 1)
    return b"<h2".ljust(len(b"<table:table" + table[1]) - 1) + b">" + table[2] + close


def _rename_shape(shape: re.Match[bytes]) -> bytes:
    """A slide's title as a heading; a footer, date or number of a slide as what is dropped."""
    placeholder = PLACEHOLDER.search(shape[0])
    kind = placeholder[1] if placeholder else b""
    if kind in (b"ftr", b"hdr", b"dt", b"sldNum"):
        return b"<nav " + shape[0][5:-7] + b"</nav >"
    if kind not in (b"title", b"ctrTitle"):
        return shape[0]
    return _rename_title(shape[0], b"1" if kind == b"ctrTitle" else b"2")


def _rename_title(shape: bytes, level: bytes) -> bytes:
    def rename(tag: re.Match[bytes]) -> bytes:
        return tag[1] + (b"h" + level).ljust(len(tag[0]) - len(tag[1]))

    return TITLE_LINE.sub(rename, shape)


RENAMED: dict[str, tuple[re.Pattern[bytes], Callable[[re.Match[bytes]], bytes]]] = {
    "pptx": (SHAPE, _rename_shape),
    "odt": (OUTLINE, _rename_outline),
    "ods": (SHEET, _rename_sheet),
    "odp": (FRAME, lambda frame: _rename_title(frame[0], b"2")),
}
"""By kind but .docx: what becomes a heading, before the tags are renamed."""


def _rename_tags(part: bytes, is_line: bool) -> bytes:
    """Tags with their names in HTML, or one that means nothing there, padded to the same length.

    The first paragraph of a cell continues its row; with `is_line`, so do all the others.
    """
    in_cell = is_first = False

    def rename(tag: re.Match[bytes]) -> bytes:
        nonlocal in_cell, is_first
        start, name, rest = tag.groups()
        html = TAGS.get(name, b"i")
        is_empty = rest.endswith(b"/")
        if html == b"td":
            in_cell = is_first = start == b"<" and not is_empty
        elif html == b"p" and in_cell and (is_first or is_line):
            html = b"i" if is_first or start == b"</" else b"td"
            is_first = is_first and start == b"<"
        elif html == b"br" and in_cell and is_line:
            html = b"td"
        elif is_empty and html in (b"style", b"nav"):
            html = b"i"
        return start + html.ljust(len(name)) + rest

    return TAG.sub(rename, part)


MAX_CELLS = 1_000_000
"""Maximum cells of a workbook, empty ones included. Own choice: some twenty seconds."""
DECIMALS = re.compile(r"0\.(0+)")


def read_workbook(data: bytes, max_bytes: int) -> tuple[ExtractedText, dict[str, Any]]:
    """Rows of an .xlsx, each sheet a page with its name as heading.

    Raises Refused for an encrypted, broken or too large file.
    """
    try:
        from openpyxl import load_workbook
    except ImportError:
        raise MissingExtra("openpyxl", "corpus") from None
    _check_workbook(data, max_bytes)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it warns about what it does not read, such as charts
            book = load_workbook(io.BytesIO(data), read_only=True, data_only=True, keep_links=False)
            names = [" ".join(sheet.title.split()) for sheet in book.worksheets]
            sheets = ["\n".join(rows) for rows in _sheets(book, max_bytes)]
    except Refused:
        raise
    except (Exception, RecursionError) as error:
        raise Refused("broken file", f"{type(error).__name__}: {error}"[:200]) from None
    if not any(sheets):
        raise Refused("no text", f"{len(sheets)} empty sheets")
    pages = join_pages([f"{n}\n{rows}" for n, rows in zip(names, sheets, strict=True)], len(data))
    spans = list(pages.spans)
    for page, name in zip(pages.spans, names, strict=True):
        rows = page.start + len(name)
        spans += [TextSpan("heading", page.start, rows, "2"), TextSpan("table", rows, page.end)]
    return ExtractedText(pages.map, tuple(spans)), {"pages": len(sheets)}


def _check_workbook(data: bytes, max_bytes: int) -> None:
    """Refused if a workbook is encrypted, unpacks to too much, or declares entities."""
    if data.startswith(OLE):
        raise Refused("encrypted", "it needs a password, or is of a format before 2007")
    config = ArchiveConfig(max_bytes=max_bytes, max_total_bytes=max(max_bytes, 2**20))
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            for entry in checked_entries(archive, config):
                is_xml = entry.filename.endswith((".xml", ".rels"))
                if is_xml and b"<!DOCTYPE" in read_entry(archive, entry, config)[:4096]:
                    raise Refused("broken file", f"{entry.filename} declares a document type")
    except UNPACK_ERRORS as error:
        raise Refused("broken file", str(error)[:200]) from None


def _sheets(book: Any, max_characters: int) -> Iterator[list[str]]:
    """Yield the rows of each sheet that are not empty, with tabs between their cells."""
    count = length = 0
    for sheet in book.worksheets:
        sheet.reset_dimensions()  # the stated size of a sheet may be anything
        rows = []
        for cells in sheet.iter_rows():
            count += max(1, len(cells))
            if count > MAX_CELLS:
                raise Refused("too large", f"more than {MAX_CELLS} cells")
            row = []
            for cell in cells:
                row.append(_shown(cell))
                length += len(row[-1]) + 1
                if length > max_characters:  # many cells may have the same long string
                    raise Refused("too large", f"more than {max_characters} characters of text")
            rows += ["\t".join(row).rstrip("\t")] if any(row) else []
        yield rows


def _shown(cell: Any) -> str:
    """The text of a cell as the sheet shows it: no needless .0, dates as in ISO 8601."""
    value = cell.value
    if value is None or isinstance(value, str):
        return " ".join((value or "").split())
    if isinstance(value, bool):
        return str(value).upper()
    if isinstance(value, int | float):
        percent = "%" in cell.number_format
        value, places = value * 100 if percent else value, DECIMALS.search(cell.number_format)
        number = f"{value:.{len(places[1])}f}" if places else f"{value:.15g}"
        return number + "%" * percent
    if isinstance(value, datetime.datetime):
        return value.isoformat(" ").removesuffix(" 00:00:00")
    return str(value)


RTF_TOKEN = re.compile(
    rb"\\'([0-9a-fA-F]{2})|\\(?:([a-zA-Z]{1,32})(-?\d{1,9})? ?|([^a-zA-Z]))|([{}])|[\r\n\0]+"
    rb"|([\x80-\xff])|([^\\{}\r\n\0\x80-\xff]+)|."
)
RTF_SKIPPED = frozenset(
    b"fonttbl colortbl stylesheet info pict object header headerl headerr headerf footer footerl "
    b"footerr footerf fldinst nonshppict filetbl deleted *".split()
)
"""Groups that are no text; `*` begins one that readers skip if they do not know it."""
RTF_BREAKS = {
    b"cell": "\t", b"nestcell": "\t", b"tab": "\t", b"line": "\n", b"row": "\n", b"nestrow": "\n",
    b"par": "\n\n", b"sect": "\n\n", b"page": "\n\n", b"\n": "\n\n", b"\r": "\n\n",
}  # fmt: skip
RTF_SIGNS = {
    b"emdash": "—", b"endash": "–", b"bullet": "•", b"lquote": "‘", b"rquote": "’",
    b"ldblquote": "“", b"rdblquote": "”", b"~": " ", b"_": "-", b"\\": "\\", b"{": "{", b"}": "}",
}  # fmt: skip
RTF_HEADING = re.compile(rb"\\s(\d{1,5})(?=[\\ ])[^{};]{0,400} [Hh]eading ([1-6])\s*;")


def read_rtf(data: bytes) -> tuple[ExtractedText, dict[str, Any]]:
    """Text of an .rtf with spans of headings; Refused if it is none."""
    if not data.lstrip().startswith(b"{\\rtf"):
        raise Refused("broken file", "it does not begin with {\\rtf")
    return _RtfReader(data).run(), {}


class _RtfReader:
    """One pass over a file, which is in one code page."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        page = re.search(rb"\\ansicpg(\d{1,5})", data[:4096])
        self.encoding = "cp" + page[1].decode() if page else "cp1252"
        try:
            codecs.lookup(self.encoding)
        except LookupError:
            self.encoding = "cp1252"
        self.levels = {style: int(level) for style, level in RTF_HEADING.findall(data)}
        self.pieces, self.spans = SourceMapBuilder(), list[TextSpan]()
        self.group, self.groups = (False, 1), list[tuple[bool, int]]()  # skipped? uc
        self.gap, self.to_skip = "", 0  # the break before the next text; a fallback's characters
        self.held, self.held_from = b"", 0  # bytes of a character that is not complete
        self.level, self.start = 0, -1  # of the paragraph as a heading, and of its text
        self.counted, self.line = 0, 1  # lines are counted up to this byte

    def run(self) -> ExtractedText:
        place = 0
        while token := RTF_TOKEN.match(self.data, place):
            place = token.end()
            byte, word, number, sign, brace, raw, plain = token.groups()
            if brace == b"{":
                self.groups.append(self.group)
            elif brace:
                self.group, self.to_skip = self.groups.pop() if self.groups else self.group, 0
            elif word == b"bin":
                place += max(0, int(number or 0))
            elif word or sign:
                self.read_word(token, word or sign, number or b"")
            elif byte or raw:
                self.read_bytes(bytes.fromhex(byte.decode()) if byte else raw, token, self.encoding)
            elif plain:
                skipped = min(self.to_skip, len(plain))
                self.to_skip -= skipped
                if skipped < len(plain):
                    self.write(plain[skipped:].decode(), token.start() + skipped, place, True)
        self.end_paragraph()
        return ExtractedText(self.pieces.build(), tuple(self.spans))

    def read_word(self, token: re.Match[bytes], word: bytes, number: bytes) -> None:
        is_skipped, fallback = self.group
        if word == b"u":
            self.to_skip = 0
            unit = (int(number or 0) % 2**16).to_bytes(2, "little")
            self.read_bytes(unit, token, "utf-16-le")
            self.to_skip = fallback
        elif word in RTF_SIGNS:
            self.write(RTF_SIGNS[word], *token.span(), False)
        elif word in RTF_BREAKS and not is_skipped:
            self.gap = max(self.gap, RTF_BREAKS[word], key=("", "\t", "\n", "\n\n").index)
            if self.gap == "\n\n":
                self.end_paragraph()
        elif word in RTF_SKIPPED:
            self.group = (True, fallback)
        elif word == b"uc":
            self.group = (is_skipped, min(int(number or 1), 9))
        elif word in (b"pard", b"s"):
            self.level = self.levels.get(number, 0) if word == b"s" else 0
        elif word == b"outlinelevel" and number in (b"0", b"1", b"2", b"3", b"4", b"5"):
            self.level = int(number) + 1

    def read_bytes(self, value: bytes, token: re.Match[bytes], encoding: str) -> None:
        """Write a character, once its bytes are complete; pass over the fallback of another."""
        if self.to_skip:
            self.to_skip -= 1
            return
        self.held_from = self.held_from if self.held else token.start()
        self.held += value
        try:
            text = self.held.decode(encoding)
        except UnicodeDecodeError:
            if len(self.held) < 4:
                return
            text = "\ufffd"
        self.write(text, self.held_from, token.end(), False)

    def write(self, text: str, start: int, end: int, exact: bool) -> None:
        """Write a text, and the break before it, unless its group is skipped."""
        self.held = b""
        if self.group[0]:
            return
        self.line += self.data.count(b"\n", self.counted, start)
        self.counted = start
        if self.gap and self.pieces.length:
            self.pieces.append_inserted(self.gap, start, self.line)
        self.gap = ""
        self.start = self.pieces.length if self.start < 0 else self.start
        self.pieces.append(text, start, end, self.line, exact)

    def end_paragraph(self) -> None:
        if self.level and self.start >= 0:
            span = TextSpan("heading", self.start, self.pieces.length, str(self.level))
            self.spans.append(span)
        self.start = -1
