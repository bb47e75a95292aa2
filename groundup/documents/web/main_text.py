"""Main text: what a page says, without what its site puts around every page.

Bytes become characters (mark, header, declaration, then detection), chrome is marked in
the tree (chrome.py), resiliparse writes all of it out, every line is tied to the bytes it came from
(alignment.py), and chrome, and lines at either end that are nothing but links, go as edits with
their reason. Where those leave too little, the links stay, and chrome too if it is half of the
page. Nothing recurses: depth costs time in proportion, no stack. Knows nothing of other pages of
the site; see sites.py.
"""

import codecs
import html
import re
from typing import Any, Literal, NamedTuple

from groundup.core import Config, MissingExtra

from ..markup import charset_named, tex_source
from ..record import Made, Record, Ruling, edited_text
from .alignment import align
from .chrome import prune, restore
from .links import Lines, link_lines
from .marks import CHROME, marked_tags

MARKS = (
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
"""resiliparse leaves out figures, captions too, when told to leave out alternative texts."""
FORMULA = re.compile(r"<semantics\b[^>]{0,500}>", re.IGNORECASE)
SURROGATE = re.compile("[\ud800-\udfff]")
HEAD_CHARACTERS = 100_000


class MainTextConfig(Config):
    """Sizes and shares that decide what is main text."""

    extractor: Literal["resiliparse", "trafilatura"] = "resiliparse"
    """Who writes the text out. trafilatura (Apache-2.0) is slower by ten times and more."""
    most_bytes: int = 5_000_000
    """Larger pages are dropped. Source: data_and_retrieval 5.1, cap of 2 to 5 MB."""
    largest_share: float = 0.4
    """An element holding more of the page's text is no chrome. Source: tuned on 60 marked pages."""
    fewest_characters: int = 25
    """With less left, links stay, and chrome too if it is half of the text. Source: as before."""
    link_share: float = 0.7
    """Share of a line's characters in links from which it is a line of links. Source: as before."""
    bullets: bool = True
    """Write • and numbers before the items of lists."""


class Decoded(NamedTuple):
    """A page's characters; a byte that is none is a lone surrogate."""

    text: str
    charset: str
    start: int
    """First byte after the mark."""


class MainText:
    """web.main_text: bytes of a page to its main text."""

    def __init__(self, config: MainTextConfig) -> None:
        self.config = config

    def __call__(self, record: Record) -> Ruling:
        """Rule: the text, title, language, canonical address and date."""
        size = len(record.data)
        if size > self.config.most_bytes:
            return Ruling("page too large", size, f"most_bytes={self.config.most_bytes}")
        page = decode(record.data, str(record.metadata.get("charset", "")))
        readable = SURROGATE.sub("\ufffd", page.text).replace("\0", "\ufffd")
        metadata: dict[str, str | int] = {**page_metadata(readable)}
        if self.config.extractor == "trafilatura":
            text, edits, code = with_trafilatura(readable), (), ()
        else:
            text, edits, code = self.extract(flat_lists(tex_only(readable)))
        if not text.strip():
            return Ruling("no text", 0.0)
        map, without = align(text, page.text, page.charset, page.start)
        if without:
            metadata["lines_without_place"] = without
        return Ruling(made=Made(map, code), edits=edits, metadata=metadata)

    def extract(self, page: str) -> Lines:
        """All that a page shows, what of it is chrome or lines of links, and what is code."""
        marked = marked_tags(FIGURE.sub(r"<\1div", page))
        tree = parse(marked)
        restore(tree, prune(tree, marked, self.config.largest_share))
        lines = link_lines(self.write(tree), self.config.link_share)
        text, edits = lines.text, lines.edits
        if len(edited_text(text, edits).strip()) >= self.config.fewest_characters:
            return lines
        chrome = tuple(edit for edit in edits if edit.reason in CHROME)
        left = len(edited_text(text, chrome).strip())
        return lines._replace(edits=chrome if left * 2 > len(text.strip()) else ())

    def write(self, tree: Any) -> str:
        """The tree as text."""
        from resiliparse.extract.html2text import extract_plain_text

        text = extract_plain_text(
            tree, main_content=False, alt_texts=False, list_bullets=self.config.bullets
        )
        return "\n".join(line.rstrip() for line in text.split("\n"))


def parse(page: str) -> Any:
    """The page's tree."""
    try:
        from resiliparse.parse.html import HTMLTree
    except ImportError:
        raise MissingExtra("resiliparse", "corpus") from None
    return HTMLTree.parse(page)


def with_trafilatura(page: str) -> str:
    """Main text as trafilatura finds it."""
    try:
        from trafilatura import extract
    except ImportError:
        raise MissingExtra("trafilatura", "trafilatura") from None
    return extract(page, include_comments=False, deduplicate=False) or ""


def flat_lists(page: str, deepest: int = 30) -> str:
    """The page without its lists if they nest deeper than any text does.

    A list's items are written with an indent for each level: a hostile page would square its size.
    """
    depth = most = 0
    for tag in LIST.finditer(page):
        depth = max(0, depth - 1) if tag[1] else depth + 1
        most = max(most, depth)
    return LIST.sub("<p>", page) if most > deepest else page


def tex_only(page: str) -> str:
    """The page with the TeX source of formulas that bring it, without their MathML.

    >>> tex_only("<semantics><mi>x</mi><annotation encoding='application/x-tex'>x</annotation>")
    "<semantics><annotation encoding='application/x-tex'>x</annotation>"
    """
    pieces, at = [], 0
    for tag in FORMULA.finditer(page):
        if tag.start() >= at:
            pieces.append(page[at : tag.end()])
            at = tex_source(page, tag.end())
    return "".join([*pieces, page[at:]])


def decode(data: bytes, told: str = "") -> Decoded:
    """Characters of a page: by mark, by what its server told, its declaration, else detection.

    >>> decode(b"\\xef\\xbb\\xbfa"), decode(b"caf\\xe9").text
    (Decoded(text='a', charset='utf-8', start=3), 'café')
    """
    for mark, charset in MARKS:
        if data.startswith(mark):
            return Decoded(marked(data[len(mark) :], charset), charset, len(mark))
    declared = DECLARED.search(data, 0, 4096)
    labels = [told, (declared[1] or declared[2]).decode("ascii", "replace") if declared else ""]
    for label in labels:
        charset = charset_name(label)
        if charset:
            try:
                return Decoded(data.decode(charset), charset, 0)
            except UnicodeDecodeError:
                continue  # the label lies: a page in UTF-8 is often declared Latin-1 and back
    try:
        return Decoded(data.decode("utf-8"), "utf-8", 0)
    except UnicodeDecodeError:
        return Decoded(*guessed(data))


def marked(data: bytes, charset: str) -> str:
    """Characters behind a mark; half a character of UTF-16 becomes U+FFFD, half a unit goes."""
    if charset == "utf-8":
        return data.decode(charset, "surrogateescape")
    return data[: len(data) // 2 * 2].decode(charset, "replace")


def guessed(data: bytes) -> tuple[str, str, int]:
    """Characters of bytes that are in no charset that they name, and are no UTF-8."""
    try:
        from resiliparse.parse.encoding import detect_encoding
    except ImportError:
        raise MissingExtra("resiliparse", "corpus") from None
    charset = charset_name(detect_encoding(data) or "") or "utf-8"
    for name in (charset, "utf-8"):
        try:
            text = data.decode(name, "surrogateescape")
            if text.encode(name, "surrogateescape") == data:
                return text, name, 0
        except UnicodeError:
            continue
    return data.decode("latin-1"), "latin-1", 0


def charset_name(label: str) -> str:
    """Python's name of a charset, Latin-1 read as Windows does; empty if text cannot be in it."""
    if label.strip().lower() in ("ascii", "us-ascii"):
        return "utf-8"  # a page that says so and is not is in UTF-8, more often than not
    name = charset_named(label)
    return "utf-8" if name.startswith("utf-") else name  # it was read as ASCII: neither 16 nor 32


def page_metadata(page: str) -> dict[str, str]:
    """Title, language, canonical address and date, as the page's head tells them.

    >>> page_metadata('<html lang="en"><title> A &amp; B </title>')
    {'title': 'A & B', 'page_language': 'en'}
    """
    head = page[:HEAD_CHARACTERS]
    found: dict[str, str] = {}
    title = TITLE.search(head)
    if title and title[1].strip():
        found["title"] = " ".join(html.unescape(title[1]).split())
    language = LANGUAGE.search(head)
    if language:
        found["page_language"] = language[1].lower()
    for tag in META.finditer(head):
        values = {
            m[1].lower(): html.unescape(m[2] or m[3] or m[4] or "")
            for m in ATTRIBUTE.finditer(tag[0])
        }
        if values.get("rel", "").lower() == "canonical" and "href" in values:
            found.setdefault("canonical", values["href"].strip()[:2000])
        name = (
            values.get("property") or values.get("name") or values.get("itemprop") or ""
        ).lower()
        said = values.get("content") or values.get("datetime")
        if name in DATES and said:
            found.setdefault("date", said.strip()[:40])
    return found
