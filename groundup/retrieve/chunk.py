"""Splits a document into passages, and a text into sentences and code blocks; both are slices.

A blank line, a list item, a heading or a change between prose and code ends a sentence; within a
paragraph `.`, `!`, `?` and their full-width forms do, unless they end an abbreviation, an initial
or a number. Nothing is rewritten: every sentence is `text[start:end]`.

A passage never crosses a heading, a class, a function or a page of a PDF. Within a section it packs
complete paragraphs and code blocks up to `max_characters`; only a longer block is split, at a
sentence or a line. Every visible character of the text is in exactly one passage, so everything in
a file can be found and quoted; only menus, tables of contents and indexes of books are in none.
"""

import bisect
import re
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Literal, NamedTuple

from pydantic import Field

from groundup.core import Config, Passage
from groundup.documents import (
    NAVIGATION,
    PAGES,
    Record,
    is_inside_row,
    looks_like_code,
    module_name,
    python_sections,
    rows_of_tables,
)

from .language import word_pattern
from .titles import with_titles

SentenceKind = Literal["prose", "heading", "code", "row"]


class Sentence(NamedTuple):
    """A slice of a text, text[start:end], without white space at its ends."""

    start: int
    end: int
    kind: SentenceKind


VISIBLE, VISIBLE_LINE = re.compile(r"\S"), re.compile(r"\S(?:[^\r\n]*\S)?")
LINE = re.compile(r"[^\r\n]*(?:\r\n|\r|\n|$)")
FENCE = re.compile(r"\s*(```|~~~)")
LIST_ITEM = re.compile(r"\s*(?:[-*•+·]|\(?\d{1,3}[.)]|\(?[a-z][.)])\s+\S")
NUMBERED = re.compile(r"\s*\(?(\d{1,3})[.)]\s+\S")
ENTRY = re.compile(
    r"\s*:?[`*]*-{1,2}[A-Za-z][\w-]*[`*]*(?:[ ,:=\[|\t]|$)"
    r"|\s*:?[`*_]{0,3}(?=[\w./~-]*(?:[._/]|[a-z][A-Z]))(?:~?/\.?)?[^\W\d][\w./-]*\w[`*_]{0,3}"
    r"(?:(?: ?\([^()\n]{0,30}\)|, -\w)?(?:(?:::?| +[–—-]| )\s|\t)\s*(?:\S+\s+){2}\S|$)"
)
"""A line that begins with an option, or a name of code and what it is, begins an entry."""
HASH_HEADING = re.compile(r"\s{0,3}#{1,6}\s+\S")
UNDERLINE = re.compile(r"\s*([=\-~^*+#\"'`:.])\1{2,}\s*$")
BOUNDARY = re.compile(r"(?<![.!?…])[.!?…]+[\"'”’)\]*_`]*(?=\s)|[。！？]+[」』”）]*")
SENTENCE_START = re.compile(r"\s+[\"'“‘(\[*_`<-]*(?:[A-Z0-9À-ÖØ-Þ]|[^\W\d_a-z])|\s*$|\s+`")


def split_sentences(text: str, lines_end: bool = False, hash_titles: bool = True) -> list[Sentence]:
    """Split a text into sentences, in order.

    lines_end    whether a line end outside code ends a sentence, as in the text of HTML
    hash_titles  whether a line that starts with # is a title; in most code it is a comment

    >>> text = "It works, e.g. Here. Next one.\\n\\n>>> f(1)\\n2"
    >>> [text[part.start : part.end] for part in split_sentences(text)]
    ['It works, e.g. Here.', 'Next one.', '>>> f(1)\\n2']
    """
    result: list[Sentence] = []
    for start, end, kind in text_blocks(text, hash_titles):
        last = result[-1] if result else None
        if kind == "prose":
            lines = (line.span() for line in VISIBLE_LINE.finditer(text, start, end))
            for first, stop in lines if lines_end else [(start, end)]:
                result += [Sentence(*part, "prose") for part in _split_prose(text, first, stop)]
        elif kind == "heading":
            result.append(Sentence(start, end, kind))
        elif (
            last and last.kind == "code" and not text[last.end : start].strip()
            and not ENTRY.match(text, start)
        ):  # fmt: skip
            result[-1] = Sentence(last.start, end, "code")
        else:
            result.append(Sentence(start, end, "code"))
    return result


class TextLine(NamedTuple):
    """A line of a text without its line end."""

    start: int
    end: int
    text: str
    is_code: bool
    """Whether it looks like code rather than prose."""


def split_text_lines(text: str) -> Iterator[TextLine]:
    """Yield the lines of a text, which end with \\n, \\r or \\r\\n."""
    start = 0
    for found in LINE.findall(text)[:-1]:  # the last is empty
        line = found.rstrip("\r\n")
        yield TextLine(start, start + len(line), line, looks_like_code(line))
        start += len(found)


def text_blocks(text: str, hash_titles: bool = True) -> Iterator[Sentence]:
    """Yield paragraphs, list items, headings and code blocks, without surrounding white space."""
    group: list[TextLine] = []
    code = 0  # lines of the group that look like code
    fence = ""
    for line in split_text_lines(text):
        mark = FENCE.match(line.text)
        if mark and not fence and not (mark[1] == "~~~" and _is_underlined([*group[-1:], line])):
            yield from _group_blocks(group, hash_titles)
            group, code, fence = [line], 0, mark[1]
        elif mark and mark[1] == fence:
            yield Sentence(group[0].start, line.end, "code")
            group, fence = [], ""
        elif fence:
            group.append(line)
        elif not line.text.strip():
            yield from _group_blocks(group, hash_titles)
            group, code = [], 0
        else:
            is_option = ENTRY.match(line.text) and group and not group[-1].text.endswith("\\")
            is_item = group and _begins_item(line.text, group[0].text) and code * 2 <= len(group)
            if is_option or is_item:
                yield from _group_blocks(group, hash_titles)
                group, code = [], 0
            group.append(line)
            code += line.is_code
    yield from _group_blocks(group, hash_titles)


def _begins_item(line: str, first: str) -> bool:
    item = LIST_ITEM.match(line)
    number = item and NUMBERED.match(line)  # perhaps the end of a sentence: "to port", "23. It"
    return bool(item) and (not number or number[1] == "1" or bool(NUMBERED.match(first)))


def _group_blocks(group: list[TextLine], hash_titles: bool) -> Iterator[Sentence]:
    group = [line for line in group if line.text.strip()]
    while group:
        is_hashed = hash_titles and bool(HASH_HEADING.match(group[0].text))
        if not is_hashed and not _is_underlined(group):
            break
        size = 1 if is_hashed else 2
        yield _trim_lines(group[:size], "heading")
        group = group[size:]
    if not group:
        return
    size = _first_code_line(group)
    if size:
        yield _trim_lines(group[:size], "prose")
    if size < len(group):
        yield _trim_lines(group[size:], "code")


def _first_code_line(group: list[TextLine]) -> int:
    """Index of the first code line of a group: 0 if all of it is code, its length if none is.

    Code after prose starts below a colon or a full stop. More than half of the lines decide.
    """
    if group[0].text.lstrip().startswith((">>>", "$ ")):
        return 0
    code, first_code = 0, len(group)
    for i in reversed(range(len(group))):
        code += group[i].is_code
        begins = i == 0 or (group[i].is_code and group[i - 1].text.rstrip().endswith((":", ".")))
        if begins and code * 2 > len(group) - i:
            first_code = i
    return first_code


def _is_underlined(group: list[TextLine]) -> bool:
    if len(group) < 2 or UNDERLINE.match(group[0].text):
        return False
    title, line = group[0].text.strip(), group[1].text.strip()
    return bool(UNDERLINE.match(line)) and len(title) <= 120 and len(line) >= len(title) * 0.6


def _trim_lines(group: list[TextLine], kind: SentenceKind) -> Sentence:
    first, last = group[0], group[-1]
    start = first.start + len(first.text) - len(first.text.lstrip())
    return Sentence(start, last.start + len(last.text.rstrip()), kind)


def is_label(line: str) -> bool:
    """Whether a line only names what follows it: a defined word, a signature, "Note:".

    >>> [is_label(line) for line in ("decorator", "os.remove(path, *, dir_fd=None)", "It ends.")]
    [True, True, False]
    """
    line = line.strip()
    if not line or "\n" in line or len(line) > 300:
        return False
    if line.endswith(":") or CALL.fullmatch(line):
        return True
    return len(line) <= 60 and len(line.split()) <= 6 and line[-1] not in ".!?,;。！？"


def label_lines(text: str) -> list[str]:
    """Lines that name the sentence below them, without the arguments of signatures.

    >>> label_lines("decorator\\n\\nA function that returns another function.")
    ['decorator']
    """
    shown = [line for line in map(str.strip, re.split(r"[\r\n]", text)) if line]
    return [
        line.partition("(")[0].rstrip(":")
        for line, below in zip(shown, shown[1:], strict=False)
        if is_label(line) and below[0].isupper() and len(below) > 30
    ]


CALL = re.compile(r"(?:(?:async|class|def|exception|@\w+)\s+)*[\w.]+\s?\([^()]*(?:\(\)[^()]*)*\)"
                  r"(?:\s*(?:->|→).*)?:?")  # fmt: skip


def _split_prose(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    for match in BOUNDARY.finditer(text, start, end):
        stop = match.end()
        if stop < end and not _ends_sentence(text, start, match):
            continue
        if text[start:stop].strip():
            yield start, stop
        while stop < end and text[stop].isspace():
            stop += 1
        start = stop
    if start < end:
        yield start, end


def _ends_sentence(text: str, start: int, mark: re.Match[str]) -> bool:
    if mark.group()[0] in "。！？":
        return True
    if not SENTENCE_START.match(text, mark.end()):
        return False
    if mark.group()[0] != ".":
        return True
    before = re.split(r"[^\w.]", text[max(start, mark.start() - 40) : mark.start()])[-1]
    if re.fullmatch(r"[A-Z]", before) or (start + len(before) == mark.start() and len(before) < 4):
        return False  # an initial, or the number of a list item
    return not word_pattern("abbreviation", end="$").match(before)


OFFICE_KINDS = ("pdf", "docx", "odt", "rtf")


class ChunkConfig(Config):
    """How large passages are."""

    max_characters: int = Field(default=1200, ge=100)
    """Maximum characters of a passage."""
    min_characters: int = Field(default=200, ge=0)
    """A section shorter than this is merged with its parent's text if it fits."""


class TitledSection(NamedTuple):
    """A range of text under one path of titles."""

    start: int
    end: int
    headings: tuple[str, ...]


def chunk_document(document: Record, config: ChunkConfig | None = None) -> list[Passage]:
    """Split a document into passages, in the order of its text.

    Each passage is `document.text[start:end]`, at most `max_characters` long, without white space
    at its ends. A document without visible text has none.
    """
    config, document = config or ChunkConfig(), with_titles(document)
    passages: list[Passage] = []
    skipped = [(start, end) for start, end in document.metadata.get(NAVIGATION, ())]
    rows = rows_of_tables(document, 0, len(document.text))
    for section in _split_pages(document, _split_sections(document)):
        limit = config.max_characters
        for start, end in _pack_blocks(document.text, section, limit, skipped, rows):
            passages.append(_make_passage(document, start, end, section.headings))
    # Definitions keep their own passages, whose titles contain their names.
    return passages if document.kind == "python" else _merge_short(document, passages, config)


def _make_passage(document: Record, start: int, end: int, headings: tuple[str, ...]) -> Passage:
    id, text = f"{document.id}:{start}-{end}", document.text[start:end]
    return Passage(id, document.id, document.path, start, end, text, headings)


def _merge_short(document: Record, passages: list[Passage], config: ChunkConfig) -> list[Passage]:
    """Merge a short passage with its parent's or previous sibling's, if both together are short.

    Nothing that is in no passage may lie between them.
    """
    skipped = [start for start, _ in document.metadata.get(NAVIGATION, ())]
    merged: list[Passage] = []
    for passage in passages:
        last = merged[-1] if merged else None
        size = passage.end - last.start if last else 0
        if (
            last is not None
            and size <= config.min_characters
            and bisect.bisect_left(skipped, last.end) == bisect.bisect_left(skipped, passage.start)
            and passage.headings[: len(last.headings)] == last.headings
        ):
            merged[-1] = _make_passage(document, last.start, passage.end, last.headings)
        else:
            merged.append(passage)
    return merged


def _split_sections(document: Record) -> Iterator[TitledSection]:
    if document.kind == "python":
        module = module_name(document.path)
        if sections := [
            TitledSection(start, end, (module, *names))
            for start, end, names in python_sections(document.text)
        ]:
            yield from sections
            return
    path: list[tuple[int, str]] = []
    title = _heading_text(document.metadata.get("title") or _first_line(document))
    start = 0
    headings = document.headings
    names = [_heading_text(document.text[heading.start : heading.end]) for heading in headings]
    if title in names and document.kind not in ("html", "epub", "pdf"):
        title = ""  # it is the first heading's, and no other section's
    for heading, name in zip(headings, names, strict=True):
        lines = (document.text.rfind(end, 0, heading.start) for end in "\r\n")
        begin = max(lines) + 1
        if begin > start:
            yield TitledSection(start, begin, _title_path(title, path))
        start = max(start, begin)
        path = [entry for entry in path if entry[0] < heading.level]
        path.append((heading.level, name))
    yield TitledSection(start, len(document.text), _title_path(title, path))


def _first_line(document: Record) -> str:
    """The first line of a file by a word processor that marks no titles, if it is short."""
    if document.kind not in OFFICE_KINDS or document.headings:
        return ""
    line = document.text.lstrip().partition("\n")[0].strip()
    is_title = 3 < len(line) <= 80 and line[-1] not in ".:,;" and "\t" not in line
    return line if is_title else ""


def _split_pages(document: Record, sections: Iterator[TitledSection]) -> Iterator[TitledSection]:
    pages = document.metadata.get(PAGES, ())
    for section in sections:
        cuts = [page for page in pages if section.start < page < section.end]
        for start, end in pairwise([section.start, *cuts, section.end]):
            yield section._replace(start=start, end=end)


def _title_path(title: str, path: list[tuple[int, str]]) -> tuple[str, ...]:
    names = ([title] if title else []) + [name for _, name in path if name]
    return tuple(dict.fromkeys(names))


def _heading_text(text: str) -> str:
    """A heading on one line, without hashes, underlines and permalink signs."""
    first = re.sub(r"\n\s*([=\-~^*+#\"'`:.])\1{2,}\s*$", "", text.strip())
    return " ".join(re.sub(r"^#{1,6}\s+|\s+#+$|\s*[¶#]$", "", first).split())


def _pack_blocks(
    text: str,
    section: TitledSection,
    limit: int,
    skipped: Sequence[tuple[int, int]],
    rows: Sequence[tuple[int, int]],
) -> Iterator[tuple[int, int]]:
    """Yield slices of a section with as many complete blocks as fit.

    A block that only names what follows (a signature, a defined word) stays with what follows.
    """
    pending: list[tuple[int, int]] = []
    skipped = [each for each in skipped if each[0] < section.end and section.start < each[1]]
    for block in _split_blocks(text, section, limit, rows):
        if any(start <= block[0] and block[1] <= end for start, end in skipped):
            if pending:
                yield pending[0][0], pending[-1][1]
            pending = []
            continue
        if pending and block[1] - pending[0][0] > limit:
            count = len(pending)
            while count > 1 and is_label(text[slice(*pending[count - 1])]):
                count -= 1
            if block[1] - pending[min(count, len(pending) - 1)][0] > limit:
                count = len(pending)
            yield pending[0][0], pending[count - 1][1]
            pending = pending[count:]
        pending.append(block)
    if pending:
        yield pending[0][0], pending[-1][1]


def _split_blocks(
    text: str, section: TitledSection, limit: int, rows: Sequence[tuple[int, int]]
) -> Iterator[tuple[int, int]]:
    blocks: list[tuple[int, int]] = []
    for block in text_blocks(text[section.start : section.end]):
        first, last = section.start + block.start, section.start + block.end
        if blocks and is_inside_row(first, rows):  # a paragraph of a cell
            first = blocks.pop()[0]
        blocks.append((first, last))
    for first, last in blocks:
        if last - first <= limit:
            yield first, last
        else:
            yield from _split_long_block(text, first, last, limit, rows)


def _split_long_block(
    text: str, start: int, end: int, limit: int, rows: Sequence[tuple[int, int]]
) -> Iterator[tuple[int, int]]:
    """Split a long block after the last sentence, line or word that fits, or else at the limit."""
    ends = sorted(
        {start + part.end for part in split_sentences(text[start:end])}
        | {start + line.end for line in split_text_lines(text[start:end])}
    )
    ends = [at for at in ends if not is_inside_row(at, rows)]
    while end - start > limit:
        index = bisect.bisect_right(ends, start + limit) - 1
        stop = ends[index] if index >= 0 and ends[index] > start + limit // 4 else 0
        stop = stop or max(text.rfind(" ", start + limit // 4, start + limit), 0) or start + limit
        kept = text[start:stop].rstrip()
        if kept:
            yield start, start + len(kept)
        visible = VISIBLE.search(text, stop, end)
        start = visible.start() if visible else end
    if start < end:
        yield start, end
