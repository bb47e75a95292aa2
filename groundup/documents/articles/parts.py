"""The parts of an article in plain text: authors, references, captions, page furniture.

For articles without markup: PDF, OCR, plain text, HTML without a publisher's tags. Paragraphs and
lines are classified by their beginning and position. A bibliography is a heading followed by
entries; a caption is a paragraph that begins with its label and a number. Uncertain paragraphs are
kept. Knows nothing of pages; see books for running heads.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from groundup.core import Config

from ..patterns import compile_patterns
from ..record import PASS, Record, StepResult, TextEdit, TextSpan

RE = compile_patterns(Path(__file__).with_suffix(".toml"))
ENTRY_LABELS = (
    re.compile(r"[ \t]{0,8}\[\w[\w+ .,:&-]{0,40}\]"),
    re.compile(r"[ \t]{0,8}\(?\d{1,3}[.)]\s"),
    re.compile(r"[ \t]{0,8}\d{1,3}\s{1,4}(?=[A-Z])"),
)
"""Styles of labels; the entries of one list share a style."""
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
        blocks = list(_split_article_paragraphs(record.text))
        edits: list[TextEdit] = []
        spans: list[TextSpan] = []
        facts: dict[str, object] = {}
        first = last = len(blocks)
        if self.config.references:
            first, last = self._find_bibliography(blocks)
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
            if len(blocks[first].text) > 60 or not RE.references.fullmatch(blocks[first].text):
                continue
            last, doubtful, entries, lines = first + 1, 0, 0, 0
            for number in range(first + 1, len(blocks)):
                text = blocks[number].text
                if RE.section_after_references.fullmatch(text) and not RE.year.search(text):
                    break
                is_entry = bool(RE.entry.match(text)) and bool(RE.year.search(text[:2_000]))
                is_entry = is_entry or bool(RE.year.search(text[:600]) and len(text) < 600)
                entries, doubtful = entries + is_entry, 0 if is_entry else doubtful + 1
                if doubtful > 2:
                    break
                if is_entry:
                    last = number + 1
                    lines += sum(bool(RE.entry.match(line)) for line in text.split("\n"))
            if max(entries, lines) >= self.config.min_entries:
                return first, last
        return len(blocks), len(blocks)

    def _find_head(self, blocks: list[_ArticleParagraph]) -> list[_ArticleParagraph]:
        head = []
        for block in blocks[1:]:
            if len(block.text) > 1_200:
                break
            is_names = len(block.text) < 600 and RE.authors.fullmatch(block.text) is not None
            affiliations = len(RE.affiliation.findall(block.text))
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
    for match in RE.paragraph.finditer(text):
        lines = match[0].split("\n")
        heads = [
            n for n, line in enumerate(lines[:-1])
            if len(line) <= 60 and RE.references.fullmatch(line) and RE.entry.match(lines[n + 1])
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
    label = next((label for label in ENTRY_LABELS if label.match(lines[first])), None)
    for number in range(first + 1, len(lines)):
        if RE.text_after_entries.fullmatch(lines[number]) and not RE.year.search(lines[number]):
            yield number
            return
        if label and label.match(lines[number]):
            yield number


def _is_caption(text: str) -> bool:
    """Whether a paragraph is a caption.

    >>> _is_caption("Figure 3: The tube."), _is_caption("Figure 3 shows the tube.")
    (True, False)
    """
    label = RE.caption.match(text)
    if label is None or len(text) > 6_000:
        return False
    return not RE.sentence_continuation.match(text[label.end() : label.end() + 40])


def _furniture_edits(block: _ArticleParagraph) -> Iterator[TextEdit]:
    at = block.start
    for line in block.text.split("\n"):
        if len(line) <= 300 and RE.furniture.fullmatch(line):
            yield TextEdit(at, at + len(line), "page furniture")
        at += len(line) + 1


def _extend_over_breaks(text: str, edit: TextEdit) -> TextEdit:
    """Extend an edit to the line breaks after it, so that no empty line remains."""
    end = edit.end
    while end < len(text) and text[end] in "\r\n":
        end += 1
    return edit._replace(end=end)
