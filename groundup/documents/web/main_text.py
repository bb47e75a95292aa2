"""Main text: the text of a page, without the template of its site.

Bytes are decoded (byte order mark, header, declaration, then detection), chrome is marked in the
tree (chrome.py), resiliparse extracts all text, every line is aligned to its bytes (alignment.py),
and chrome, and lines at both ends that are links only, are removed by edits with reasons. If those
leave too little, the links are kept, and chrome too if it is half of the page. Nothing recurses:
depth costs time in proportion, and no stack. Knows nothing of other pages of the site; see
sites.py.
"""

import html
import re
from typing import Any, Literal

from groundup.core import Config, MissingExtra

from ..markup import find_tex_source
from ..readers.encodings import WIDE_STARTS, compose_maps, decode
from ..readers.reader import Refused
from ..record import ExtractedText, Record, StepResult, edited_text
from .alignment import align_to_page
from .chrome import detach_chrome, restore_chrome
from .links import CHROME_KINDS, CleanedText, clean_marked_text, mark_tags

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


class MainText:
    """Step `web.main_text`: extracts the main text from a page's bytes."""

    def __init__(self, config: MainTextConfig) -> None:
        self.config = config

    def __call__(self, record: Record) -> StepResult:
        size = len(record.data)
        if size > self.config.max_bytes:
            return StepResult("page too large", size, f"at most {self.config.max_bytes} bytes")
        data = record.data
        if not data.startswith(WIDE_STARTS):  # crawled pages have zero bytes; browsers drop them
            data = data.replace(b"\0", b" ")
        try:
            source = decode(data, str(record.metadata.get("charset", "")), kind="html").map
        except Refused as refused:
            return StepResult(refused.reason, details=refused.details)
        page = source.text
        metadata: dict[str, str | int] = {**_page_metadata(page)}
        if self.config.extractor == "trafilatura":
            text, edits, code = _extract_with_trafilatura(page), (), ()
        else:
            text, edits, code = self.extract(_flatten_lists(_drop_mathml(page)))
        if not text.strip():
            return StepResult("no text", 0.0)
        map, unaligned = align_to_page(text, page)
        if unaligned:
            metadata["lines_without_place"] = unaligned
        extracted = ExtractedText(compose_maps(map, source), code)
        return StepResult(extracted=extracted, edits=edits, metadata=metadata)

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
    try:
        from resiliparse.parse.html import HTMLTree
    except ImportError:
        raise MissingExtra("resiliparse", "corpus") from None
    return HTMLTree.parse(page)


def _extract_with_trafilatura(page: str) -> str:
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


def _page_metadata(page: str) -> dict[str, str]:
    """Title, language, canonical address and date from the page's head."""
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
