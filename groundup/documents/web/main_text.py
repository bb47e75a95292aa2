"""Main text: the text of a page, without the template of its site.

Bytes are decoded (byte order mark, header, declaration, then detection), chrome is marked in the
tree (chrome.py), resiliparse extracts all text, every line is aligned to its bytes (alignment.py),
and chrome, and lines at both ends that are links only, are removed by edits with reasons. If those
leave too little, the links are kept, and chrome too if it is half of the page. Nothing recurses:
depth costs time in proportion, and no stack. Knows nothing of other pages of the site; see
sites.py.
"""

import codecs
import html
import re
from typing import Any, Literal, NamedTuple

from groundup.core import Config, MissingExtra

from ..markup import find_tex_source, text_charset
from ..record import ExtractedText, Record, StepResult, edited_text
from .alignment import align
from .chrome import detach_chrome, restore_chrome
from .links import CHROME_KINDS, CleanedText, clean_marked_text, mark_tags

BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
DECLARED = re.compile(
    rb"""<\?xml[^>]{0,200}encoding\s*=\s*["']([\w.:-]+)|<meta[^>]{0,300}charset\s*=\s*["']?\s*([\w.:-]+)""",
    re.IGNORECASE,
)
LANGUAGE = re.compile(
    r"""<html\b[^>]{0,500}?\slang\s*=\s*["']?([A-Za-z]{2,3}(?:-[A-Za-z0-9]{2,8})*)"""
)
META = re.compile(r"<(?:meta|link|time)\b[^>]{0,2000}>", re.IGNORECASE)
ATTRIBUTE = re.compile(r"""([a-zA-Z:-]{1,40})\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s"'>]+))""")
TITLE = re.compile(r"<title\b[^>]{0,200}>([^<]{0,1000})", re.IGNORECASE)
DATES = ("article:published_time", "datepublished", "date", "dc.date", "dcterms.created", "pubdate")
LIST = re.compile(r"<(/?)(?:ul|ol|dir|menu)\b[^>]*>", re.IGNORECASE)
FIGURE = re.compile(r"<(/?)fig(?:ure|caption)\b", re.IGNORECASE)
"""resiliparse omits figures and their captions when alternative texts are off."""
FORMULA = re.compile(r"<semantics\b[^>]{0,500}>", re.IGNORECASE)
SURROGATE = re.compile("[\ud800-\udfff]")
HEAD_CHARACTERS = 100_000


class MainTextConfig(Config):
    """Sizes and shares that decide what is main text."""

    extractor: Literal["resiliparse", "trafilatura"] = "resiliparse"
    """The extractor. trafilatura (Apache-2.0) is at least ten times slower."""
    max_bytes: int = 5_000_000
    """Larger pages are dropped. Source: data_and_retrieval 5.1, cap of 2 to 5 MB."""
    max_element_share: float = 0.4
    """An element that holds more of the page's text is kept. Source: tuned on 60 marked pages."""
    min_characters: int = 25
    """If fewer remain, links are kept, and chrome too if it is half of it. Source: as above."""
    link_share: float = 0.7
    """Share of a line's characters in links from which it is a line of links. Source: as above."""
    bullets: bool = True
    """Write • and numbers before list items."""


class DecodedPage(NamedTuple):
    """A page's characters; an undecodable byte is a lone surrogate."""

    text: str
    charset: str
    start: int
    """First byte after the byte order mark."""


class MainText:
    """Step `web.main_text`: extracts the main text from a page's bytes."""

    def __init__(self, config: MainTextConfig) -> None:
        self.config = config

    def __call__(self, record: Record) -> StepResult:
        """Extract the text, title, language, canonical address and date."""
        size = len(record.data)
        if size > self.config.max_bytes:
            return StepResult("page too large", size, f"at most {self.config.max_bytes} bytes")
        page = _decode_page(record.data, str(record.metadata.get("charset", "")))
        readable = SURROGATE.sub("\ufffd", page.text).replace("\0", "\ufffd")
        metadata: dict[str, str | int] = {**_page_metadata(readable)}
        if self.config.extractor == "trafilatura":
            text, edits, code = _extract_with_trafilatura(readable), (), ()
        else:
            text, edits, code = self.extract(_flatten_lists(_drop_mathml(readable)))
        if not text.strip():
            return StepResult("no text", 0.0)
        map, unaligned = align(text, page.text, page.charset, page.start)
        if unaligned:
            metadata["lines_without_place"] = unaligned
        return StepResult(extracted=ExtractedText(map, code), edits=edits, metadata=metadata)

    def extract(self, page: str) -> CleanedText:
        """All text of a page, edits that remove chrome and lines of links, and spans of code."""
        marked = mark_tags(FIGURE.sub(r"<\1div", page))
        tree = _parse_html_tree(marked)
        restore_chrome(tree, detach_chrome(tree, marked, self.config.max_element_share))
        lines = clean_marked_text(self.to_text(tree), self.config.link_share)
        text, edits = lines.text, lines.edits
        if len(edited_text(text, edits).strip()) >= self.config.min_characters:
            return lines
        chrome = tuple(edit for edit in edits if edit.reason in CHROME_KINDS)
        remaining = len(edited_text(text, chrome).strip())
        return lines._replace(edits=chrome if remaining * 2 > len(text.strip()) else ())

    def to_text(self, tree: Any) -> str:
        """The tree as text."""
        from resiliparse.extract.html2text import extract_plain_text

        text = extract_plain_text(
            tree, main_content=False, alt_texts=False, list_bullets=self.config.bullets
        )
        return "\n".join(line.rstrip() for line in text.split("\n"))


def _parse_html_tree(page: str) -> Any:
    """The page's tree."""
    try:
        from resiliparse.parse.html import HTMLTree
    except ImportError:
        raise MissingExtra("resiliparse", "corpus") from None
    return HTMLTree.parse(page)


def _extract_with_trafilatura(page: str) -> str:
    """Main text by trafilatura."""
    try:
        from trafilatura import extract
    except ImportError:
        raise MissingExtra("trafilatura", "trafilatura") from None
    return extract(page, include_comments=False, deduplicate=False) or ""


def _flatten_lists(page: str, max_depth: int = 30) -> str:
    """Replace the lists of a page if they nest deeper than those of any real text.

    Items are written with an indent per level, so a hostile page's text would grow quadratically.
    """
    depth = most = 0
    for tag in LIST.finditer(page):
        depth = max(0, depth - 1) if tag[1] else depth + 1
        most = max(most, depth)
    return LIST.sub("<p>", page) if most > max_depth else page


def _drop_mathml(page: str) -> str:
    """Remove the MathML of formulas that have a TeX source.

    >>> _drop_mathml("<semantics><mi>x</mi><annotation encoding='application/x-tex'>x</annotation>")
    "<semantics><annotation encoding='application/x-tex'>x</annotation>"
    """
    parts, at = [], 0
    for tag in FORMULA.finditer(page):
        if tag.start() >= at:
            parts.append(page[at : tag.end()])
            at = find_tex_source(page, tag.end())
    return "".join([*parts, page[at:]])


def _decode_page(data: bytes, declared: str = "") -> DecodedPage:
    """Decode a page by its byte order mark, the server's charset, its declaration, or detection.

    >>> _decode_page(b"\\xef\\xbb\\xbfa"), _decode_page(b"caf\\xe9").text
    (DecodedPage(text='a', charset='utf-8', start=3), 'café')
    """
    for mark, charset in BYTE_ORDER_MARKS:
        if data.startswith(mark):
            return DecodedPage(_decode_after_mark(data[len(mark) :], charset), charset, len(mark))
    match = DECLARED.search(data, 0, 4096)
    in_page = (match[1] or match[2]).decode("ascii", "replace") if match else ""
    for label in (declared, in_page):
        charset = _charset_name(label)
        if charset:
            try:
                return DecodedPage(data.decode(charset), charset, 0)
            except UnicodeDecodeError:
                continue  # the label is wrong: UTF-8 is often declared as Latin-1, and vice versa
    try:
        return DecodedPage(data.decode("utf-8"), "utf-8", 0)
    except UnicodeDecodeError:
        return DecodedPage(*_decode_detected(data))


def _decode_after_mark(data: bytes, charset: str) -> str:
    """Decode data after a byte order mark; invalid UTF-16 becomes U+FFFD."""
    if charset == "utf-8":
        return data.decode(charset, "surrogateescape")
    return data[: len(data) // 2 * 2].decode(charset, "replace")


def _decode_detected(data: bytes) -> tuple[str, str, int]:
    """Decode bytes that are neither UTF-8 nor in a charset that they declare."""
    try:
        from resiliparse.parse.encoding import detect_encoding
    except ImportError:
        raise MissingExtra("resiliparse", "corpus") from None
    charset = _charset_name(detect_encoding(data) or "") or "utf-8"
    for name in (charset, "utf-8"):
        try:
            text = data.decode(name, "surrogateescape")
            if text.encode(name, "surrogateescape") == data:
                return text, name, 0
        except UnicodeError:
            continue
    return data.decode("latin-1"), "latin-1", 0


def _charset_name(label: str) -> str:
    """Python's name of a charset, cp1252 for Latin-1; empty if it is no text encoding."""
    if label.strip().lower() in ("ascii", "us-ascii"):
        return "utf-8"  # a page that declares ASCII and is not ASCII is usually UTF-8
    name = text_charset(label)
    # The label was readable as ASCII, so the page is neither UTF-16 nor UTF-32.
    return "utf-8" if name.startswith("utf-") else name


def _page_metadata(page: str) -> dict[str, str]:
    """Title, language, canonical address and date from the page's head.

    >>> _page_metadata('<html lang="en"><title> A &amp; B </title>')
    {'title': 'A & B', 'page_language': 'en'}
    """
    head = page[:HEAD_CHARACTERS]
    metadata: dict[str, str] = {}
    title = TITLE.search(head)
    if title and title[1].strip():
        metadata["title"] = " ".join(html.unescape(title[1]).split())
    language = LANGUAGE.search(head)
    if language:
        metadata["page_language"] = language[1].lower()
    for tag in META.finditer(head):
        values = {
            m[1].lower(): html.unescape(m[2] or m[3] or m[4] or "")
            for m in ATTRIBUTE.finditer(tag[0])
        }
        if values.get("rel", "").lower() == "canonical" and "href" in values:
            metadata.setdefault("canonical", values["href"].strip()[:2000])
        name = (
            values.get("property") or values.get("name") or values.get("itemprop") or ""
        ).lower()
        date = values.get("content") or values.get("datetime")
        if name in DATES and date:
            metadata.setdefault("date", date.strip()[:40])
    return metadata
