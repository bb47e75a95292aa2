"""The parts of an article in plain text: authors, references, captions, page furniture.

For articles without markup: PDF, OCR, plain text, HTML without a publisher's tags. Paragraphs and
lines are classified by their beginning and position. A bibliography is a heading followed by
entries; a caption is a paragraph that begins with its label and a number. Uncertain paragraphs are
kept. Knows nothing of pages; see books for running heads.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

from groundup.core import Config

from ..record import PASS, Record, StepResult, TextEdit, TextSpan

PARAGRAPH = re.compile(r"[^\n]+(?:\n(?![ \t]*\n)[^\n]+)*")
FIGURE = (
    "(?:Supplementary |Extended Data |Online )?"
    "(?:Fig(?:ure)?s?|Abb(?:ildung)?|Figura|Scheme|Plate|Chart|Photo)"
)
TABLE = "(?:Supplementary |Extended Data )?(?:Tab(?:le)?|Tabelle|Tableau|Tabla)"
NUMBER = r"(?:[A-Z]{0,2}[-.]?\d{1,3}(?:[-.]\d{1,3})?[a-z]?|[IVXL]{1,6}|[A-Z]\d{1,2})"
CAPTION = re.compile(
    rf"[ \t]{{0,12}}(?:(?P<figure>{FIGURE})|(?P<table>{TABLE}))\.?\s{{1,3}}{NUMBER}"
    r"(?:[.:|—–)]\s|[ \t]*\n|\s[-–—|]\s|\. ?$|$|\s(?=[A-Z(]))",
    re.IGNORECASE,
)
SENTENCE_CONTINUATION = re.compile(
    r"^\W*(?:shows?|showed|illustrates?|presents?|depicts?|gives?|lists?|summari[sz]es?|is|are|was|"
    r"were|and|in|of|demonstrates?|displays?|reports?|provides?|compares?|contains?|plots?|also|to|"
    r"below|above|reveals?|indicates?|has|describes?|can|further|we|for)\b",
    re.IGNORECASE,
)
REFERENCE_TITLES = (
    "References?(?: (?:and notes|cited|list))?", "Bibliography", "Literature(?: cited)?",
    "Works cited", "Cited literature", "Notes and references", "Literatur(?:verzeichnis)?",
    "Bibliographie", "R[ée]f[ée]rences(?: bibliographiques)?", "Bibliograf[ií]a", "Referencias",
    "Riferimenti bibliografici", "Список литературы", "Литература", "参考文献",
)  # fmt: skip
REFERENCES = re.compile(
    r"[ \t]{0,20}(?:\d{1,2}\.?\s{1,4}|[IVX]{1,4}\.\s{1,4}|#{1,4} |\*{2})?"
    rf"(?:{'|'.join(REFERENCE_TITLES)})[ \t]*:?\*{{0,2}}[ \t]*",
    re.IGNORECASE,
)
ENTRY = re.compile(
    r"[ \t]{0,8}(?:\[\w[\w+ .,:&-]{0,40}\]|\(\d{1,3}\)|\d{1,3}[.)]?\s|[•*-]\s"
    r"|[A-Z][\w'’ʼ-]{1,30},? (?:[A-Z]\.|[A-Z]{1,3}\b|and|et al)|[A-Z][\w'’-]{1,30}, [A-Z])"
)
YEAR = re.compile(
    r"\b(?:1[5-9]|20)\d\d[a-z]?\b|\bin press\b|\bforthcoming\b|\bdoi\b|https?://", re.IGNORECASE
)
ENTRY_LABELS = (
    re.compile(r"[ \t]{0,8}\[\w[\w+ .,:&-]{0,40}\]"),
    re.compile(r"[ \t]{0,8}\(?\d{1,3}[.)]\s"),
    re.compile(r"[ \t]{0,8}\d{1,3}\s{1,4}(?=[A-Z])"),
)
"""Styles of labels; the entries of one list share a style."""
TEXT_AFTER_ENTRIES = re.compile(
    r"[ \t]{0,20}(?:[A-Z]\.?[ \t]{1,3})?(?:Append(?:ix|ices)|Supplement\w*|Acknowledge?ments?"
    r"|Author contributions|Anhang|Annexe|Ap[ée]ndice)\b.{0,60}"
)
SECTION_AFTER_REFERENCES = re.compile(
    r"[ \t]{0,20}(?:(?:Appendix|Appendices|Supplement\w*|Supporting information|Figure legends?|"
    r"Tables?|Figures?|Acknowledge?ments?|Author contributions|Index|Anhang|Annexe|Ap[ée]ndice)\b"
    r".{0,60}|[A-Z]\.?[ \t]{1,3}[A-Z]\w.{0,60})"
)
PUBLISHER_LINES = (
    r"arXiv:\d{4}\.\d{4,5}(?:v\d{1,2})?(?: +\[[\w.-]{2,20}\])?.{0,40}",
    r"arXiv:[a-z.-]{2,20}/\d{7}.{0,40}",
    r"Downloaded (?:from|by|on) .{3,120}",
    r"(?:©|\(c\)|Copyright ©?) ?(?:19|20)\d\d\b.{0,160}",
    r"(?:Page )?\d{1,4} (?:of|/) \d{1,4}(?: \(page number not for citation purposes\))?",
    r"Page \d{1,4}",
    r"(?:https?://)?(?:dx\.)?doi(?:\.org)?[:/]\s?10\.\d{4,9}/\S{1,120}",
    r"doi:\s?10\.\S{1,120}",
    r"ISSN:? \d{4}-\d{3}[\dX].{0,80}",
    r"(?:Received|Accepted|Revised|Published)(?: online)?:? \d{1,2}[. ]\w{3,10}\.? \d{4}.{0,120}",
    r"This (?:article|paper|work) is (?:licensed|distributed) under .{5,200}",
    r"All rights reserved\.?",
    r"(?:[A-Z][\w&.]{1,20} ){1,6}(?:Vol(?:ume)?\.? ?\d{1,4}|\d{1,4} ?\(\d{1,3}\)),? "
    r".{0,40}(?:19|20)\d\d.{0,40}",
    r"[A-Z][\w.-]{1,30} et al\.(?: [A-Z][\w ]{2,40})? (?:19|20)\d\d, \d{1,4}:\w{1,10}.{0,60}",
    r"(?:www\.|https?://)[\w.-]{3,60}/?",
    r"\| ?\d{1,4} ?\|",
    r"- ?\d{1,4} ?-",
)
FURNITURE = re.compile(rf"[ \t]{{0,80}}(?:{'|'.join(PUBLISHER_LINES)})[ \t]*", re.IGNORECASE)
CAPITAL = "[A-ZÀ-ÞŁŚŠŽ]"
INITIALS = r"(?:[A-Z]\.[ -]?)"
NAME = (
    rf"(?:{INITIALS}{{1,3}}|{CAPITAL}[\w'’.-]{{1,20}} )"
    rf"(?:{INITIALS}{{0,3}}|(?:[a-z]{{2,3}} ){{0,2}}|{CAPITAL}[\w'’-]{{1,20}} )"
    rf"(?:(?:van|von|der|de|da|di|del|la|le|ten|bin|el) ){{0,3}}{CAPITAL}[\w'’-]{{1,24}}"
)
NAME_WITH_MARKS = rf"{NAME}[\d*†‡§¶, \t]{{0,12}}"
AUTHORS = re.compile(
    rf"[ \t]{{0,60}}(?:by[ \t]{{1,3}})?{NAME_WITH_MARKS}"
    rf"(?:(?:,|;|&|\band\b|·|•|\n|,? and\b)[ \t\n]{{0,12}}{NAME_WITH_MARKS}){{0,60}}[.]?[ \t]*"
)
AFFILIATION = re.compile(
    r"\b(?:Universit\w+|Institut\w*|Department|Dept\.|Laborator\w+|School of|Faculty|College|"
    r"Hospital|Academy|Centre|Center for|Inc\.|Corporation|GmbH|Ltd)\b"
    r"|[\w.+-]{1,64}@[\w-]{1,64}\.\w"
)
HEAD_PARAGRAPHS = 8


class ArticlePartsConfig(Config):
    """Which parts to remove from the text; all but furniture move to the metadata."""

    authors: bool = True
    """Author and affiliation lines between title and text. Source: own choice; they are personal
    data and not prose."""
    references: bool = True
    """The bibliography."""
    min_entries: int = 3
    """Entries that a bibliography must have. Source: development articles, none has fewer."""
    captions: bool = True
    """Captions."""
    furniture: bool = True
    """Lines of the publisher: identifiers, page numbers, dates of receipt, downloads."""


class _ArticleParagraph(NamedTuple):
    """A paragraph of the text."""

    start: int
    end: int
    text: str


class ArticleParts:
    """Step `articles.parts`: separates authors, references and captions from the prose."""

    def __init__(self, config: ArticlePartsConfig) -> None:
        self.config = config

    def __call__(self, record: Record) -> StepResult:
        """Process one article."""
        blocks = list(_split_article_paragraphs(record.text))
        edits: list[TextEdit] = []
        spans: list[TextSpan] = []
        facts: dict[str, object] = {}
        first, last = (
            self._find_bibliography(blocks)
            if self.config.references
            else (len(blocks), len(blocks))
        )
        if first < last:
            entries = blocks[first + 1 : last]
            edits.append(TextEdit(blocks[first].start, blocks[first].end, "references heading"))
            edits += [
                TextEdit(e.start, e.end, "reference", metadata_key="references") for e in entries
            ]
            facts["references"] = len(entries)
        body = [*range(min(first, len(blocks))), *range(last, len(blocks))]
        head = self._find_head(blocks[: min(first, HEAD_PARAGRAPHS)]) if self.config.authors else []
        edits += [
            TextEdit(block.start, block.end, "authors", metadata_key="authors") for block in head
        ]
        head_starts = {block.start for block in head}
        for number in body:
            block = blocks[number]
            if block.start in head_starts:
                continue
            if self.config.captions and _is_caption(block.text):
                edits.append(TextEdit(block.start, block.end, "caption", metadata_key="captions"))
            elif self.config.furniture:
                edits += _furniture_edits(block)
        edits = [
            _extend_over_breaks(record.text, edit) for edit in sorted(edits, key=lambda e: e.start)
        ]
        facts["captions"] = sum(edit.metadata_key == "captions" for edit in edits)
        if not edits:
            return PASS
        return StepResult(edits=tuple(edits), metadata=facts, spans=tuple(spans))

    def _find_bibliography(self, blocks: list[_ArticleParagraph]) -> tuple[int, int]:
        """Index of the last references heading with entries, and one past its last entry."""
        for first in range(len(blocks) - 1, -1, -1):
            if len(blocks[first].text) > 60 or not REFERENCES.fullmatch(blocks[first].text):
                continue
            last, doubtful, entries, lines = first + 1, 0, 0, 0
            for number in range(first + 1, len(blocks)):
                text = blocks[number].text
                if SECTION_AFTER_REFERENCES.fullmatch(text) and not YEAR.search(text):
                    break
                is_entry = bool(ENTRY.match(text)) and bool(YEAR.search(text[:2_000]))
                is_entry = is_entry or bool(YEAR.search(text[:600]) and len(text) < 600)
                entries, doubtful = entries + is_entry, 0 if is_entry else doubtful + 1
                if doubtful > 2:
                    break
                if is_entry:
                    last = number + 1
                    lines += sum(bool(ENTRY.match(line)) for line in text.split("\n"))
            if max(entries, lines) >= self.config.min_entries:
                return first, last
        return len(blocks), len(blocks)

    def _find_head(self, blocks: list[_ArticleParagraph]) -> list[_ArticleParagraph]:
        """Author and affiliation paragraphs between the title and the text."""
        head = []
        for block in blocks[1:]:
            if len(block.text) > 1_200:
                break
            is_names = len(block.text) < 600 and AUTHORS.fullmatch(block.text) is not None
            affiliations = len(AFFILIATION.findall(block.text))
            is_short = all(len(line) < 120 for line in block.text.split("\n"))
            if is_names or (head and affiliations and is_short) or affiliations >= 3 and is_short:
                head.append(block)
            elif head:
                break
        return head


def _split_article_paragraphs(text: str) -> Iterator[_ArticleParagraph]:
    """Yield a text's paragraphs; a bibliography inside one is split into its entries.

    >>> text = "End.\\nReferences\\n[1] Lee.\\n1999.\\n[2] Ng. 2001."
    >>> [paragraph.text for paragraph in _split_article_paragraphs(text)]
    ['End.', 'References', '[1] Lee.\\n1999.', '[2] Ng. 2001.']
    """
    for match in PARAGRAPH.finditer(text):
        lines = match[0].split("\n")
        heads = [
            n for n, line in enumerate(lines[:-1])
            if len(line) <= 60 and REFERENCES.fullmatch(line) and ENTRY.match(lines[n + 1])
        ]  # fmt: skip
        starts = {0}
        if heads:
            starts |= {heads[-1], heads[-1] + 1, *_entry_starts(lines, heads[-1] + 1)}
        at, first = match.start(), 0
        for stop in [*sorted(starts - {0}), len(lines)]:
            part = "\n".join(lines[first:stop])
            yield _ArticleParagraph(at, at + len(part), part)
            at, first = at + len(part) + 1, stop


def _entry_starts(lines: list[str], first: int) -> Iterator[int]:
    """Yield the line numbers of labelled entries, and of the text that follows the list."""
    label = next((label for label in ENTRY_LABELS if label.match(lines[first])), None)
    for number in range(first + 1, len(lines)):
        if TEXT_AFTER_ENTRIES.fullmatch(lines[number]) and not YEAR.search(lines[number]):
            yield number
            return
        if label and label.match(lines[number]):
            yield number


def _is_caption(text: str) -> bool:
    """Whether a paragraph is a caption.

    >>> _is_caption("Figure 3: The tube."), _is_caption("Figure 3 shows the tube.")
    (True, False)
    """
    label = CAPTION.match(text)
    if label is None or len(text) > 6_000:
        return False
    return not SENTENCE_CONTINUATION.match(text[label.end() : label.end() + 40])


def _furniture_edits(block: _ArticleParagraph) -> Iterator[TextEdit]:
    at = block.start
    for line in block.text.split("\n"):
        if len(line) <= 300 and FURNITURE.fullmatch(line):
            yield TextEdit(at, at + len(line), "page furniture")
        at += len(line) + 1


def _extend_over_breaks(text: str, edit: TextEdit) -> TextEdit:
    """Extend an edit to the line breaks after it, so that no empty line remains."""
    end = edit.end
    while end < len(text) and text[end] in "\r\n":
        end += 1
    return edit._replace(end=end)
