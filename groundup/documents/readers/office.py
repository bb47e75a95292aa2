"""Word processor files: the text of .docx and .odt, mapped to the bytes of their main part.

Both are zips with the text in one XML file: word/document.xml (ECMA-376, WordprocessingML) or
content.xml (OpenDocument 1.3). Its tags are renamed in place to those of HTML, byte for byte, so
that the one reader of markup gives text, headings, tables and the map: a slice of the text comes
from a range of that part, and the range without its tags is the slice. Deleted text, comments and
field codes are dropped. The limits of archives.py apply.
"""

import io
import re
import zipfile
from typing import Any

from ..document import heading_spans
from ..markup import Markup, read_html
from ..record import ExtractedText
from .archives import UNPACK_ERRORS, ArchiveConfig, checked_entries, read_entry
from .reader import Refused

OFFICE_PARTS = {"docx": "word/document.xml", "odt": "content.xml"}
TAGS = {
    b"w:p": b"p", b"w:tbl": b"table", b"w:tr": b"tr", b"w:tc": b"td", b"w:br": b"br",
    b"w:cr": b"br", b"w:tab": b"br", b"w:instrText": b"style", b"w:delText": b"style",
    b"text:p": b"p", b"table:table": b"table", b"table:table-row": b"tr",
    b"table:table-cell": b"td", b"text:line-break": b"br", b"text:tab": b"br",
    b"text:list": b"ul", b"text:list-item": b"li", b"office:annotation": b"style",
    b"text:tracked-changes": b"style",
}  # fmt: skip
"""Tags that mean something to a reader, and the tag of HTML that means the same."""
TAG = re.compile(rb"(</?)([a-zA-Z]+:[a-zA-Z-]+)(?=[\s/>])")
DECLARATION = re.compile(rb"\A\s*<\?xml[^>]*>")
PARAGRAPH = re.compile(rb"<w:p(?=[ >])(?:(?!<w:p[ >]).)*?</w:p>", re.DOTALL)
STYLE = re.compile(rb'<w:pStyle w:val="(?:[Hh]eading|berschrift|Titre|Ttulo|Title)\s?([1-6]?)"')
OUTLINE = re.compile(
    rb'(<text:h)(?=\s)([^>]*text:outline-level="([1-6])")(.*?)(</text:h>)', re.DOTALL
)


def read_office(data: bytes, kind: str, max_bytes: int) -> tuple[ExtractedText, dict[str, Any]]:
    """Text with heading spans, and the title, of a `docx` or `odt` file.

    Raises Refused for an encrypted, broken or too large file.
    """
    page = read_part(office_part(data, kind, max_bytes), kind)
    return ExtractedText(page.map, heading_spans(page.headings)), page.metadata


def office_part(data: bytes, kind: str, max_bytes: int) -> bytes:
    """The XML file that has the text; Refused if there is none."""
    if data.startswith(b"\xd0\xcf\x11\xe0"):
        raise Refused("encrypted", "it needs a password, or is of a format before 2007")
    config = ArchiveConfig(max_bytes=max_bytes, max_total_bytes=max(max_bytes, 2**20))
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            entries = {entry.filename: entry for entry in checked_entries(archive, config)}
            if OFFICE_PARTS[kind] not in entries:
                raise Refused("broken file", f"it has no {OFFICE_PARTS[kind]}")
            return read_entry(archive, entries[OFFICE_PARTS[kind]], config)
    except UNPACK_ERRORS as error:
        raise Refused("broken file", str(error)[:200]) from None


def read_part(part: bytes, kind: str) -> Markup:
    """Text, map and headings of the XML file; the title is the first heading of level 1."""
    part = DECLARATION.sub(lambda match: b" " * len(match[0]), part)
    part = PARAGRAPH.sub(_rename_heading, part) if kind == "docx" else OUTLINE.sub(_outline, part)
    page = read_html(TAG.sub(_rename_tag, part))
    text = page.map.text
    title = next((text[h.start : h.end] for h in page.headings if h.level == 1), "")
    return page._replace(metadata={"title": title} if title else {})


def _rename_heading(paragraph: re.Match[bytes]) -> bytes:
    """A paragraph with a heading's style as a heading."""
    style = STYLE.search(paragraph[0])
    if style is None:
        return paragraph[0]
    name = b"h" + (style[1] or b"1") + b" "
    return b"<" + name + paragraph[0][4:-6] + b"</" + name + b">"


def _outline(heading: re.Match[bytes]) -> bytes:
    name = b"h" + heading[3]
    start, end = b"<" + name.ljust(6), b"</" + name.ljust(6) + b">"
    return start + heading[2] + heading[4] + end


def _rename_tag(tag: re.Match[bytes]) -> bytes:
    """A tag's name in HTML, or one that means nothing there, padded to the same length."""
    return tag[1] + TAGS.get(tag[2], b"i").ljust(len(tag[2]))
