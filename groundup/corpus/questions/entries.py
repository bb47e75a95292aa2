"""Entries: the names that a page explains with their text, and its running text.

An entry is a name that a document explains: a function under its signature, a command's option, a
setting, a term of a list. Rendered pages (Sphinx, DocBook, AsciiDoc) have an entry's signature as a
separate block, reStructuredText has directives, Markdown has headings, lists and tables. All become
the same type, so that rules are independent of the format; Python is read in definitions.py.
Unrecognised blocks are running text of their section. Knows nothing of questions.
"""

import re
from collections.abc import Iterator
from itertools import pairwise
from typing import Literal, NamedTuple

from groundup.documents import Record

from .blocks import (
    NAME,
    PATTERNS,
    WORDS,
    LineBlock,
    is_description,
    is_preformatted_block,
    is_prose_block,
    match_signature,
    may_be_entry_head,
    option_name,
    split_line_blocks,
)
from .plain import PlainText, strip_markup

EntryKind = Literal["function", "class", "value", "option", "setting", "parameter", "term", "text"]
DIRECTIVES: dict[str, EntryKind] = {
    "class": "class", "exception": "class", "envvar": "setting", "confval": "setting",
    "attribute": "value", "data": "value",
}  # fmt: skip
EMPTY_TEXT = PlainText("", (0,))


class DocumentedEntry(NamedTuple):
    """A named thing and what is written under it."""

    name: str
    """As a person would write it, such as `shutil.copy` or `--quiet`; empty for running text."""
    kind: EntryKind
    head: PlainText = EMPTY_TEXT
    """The signature as it stands; empty for running text."""
    body: tuple[PlainText, ...] = ()
    """Paragraphs, without boilerplate and code."""
    section: PlainText = EMPTY_TEXT
    """The heading above; empty if there is none."""
    owner: str = ""
    """Of a parameter: the function that takes it."""
    is_complete: bool = True
    """Whether the end of the body is sure: a page's text does not tell where a class ends, so what
    follows its last method may speak of the class."""


def page_entries(document: Record) -> Iterator[DocumentedEntry]:
    """Yield the entries of a page and its running text, in order."""
    page = _PageReader(document)
    found: list[DocumentedEntry] = []
    for block, following in pairwise([*split_line_blocks(document.text), None]):
        if block:
            found += page.read_block(block, following.lines[0] if following else "")
    found += page.close()
    module = str(document.metadata.get("title", "")).partition(" ")[0]
    for entry, following in pairwise([*found, None]):
        if document.kind == "html" and entry:
            is_next = following is not None and following.kind == entry.kind
            after = _enclosing_name(following.name) if following and is_next else None
            yield entry._replace(is_complete=_enclosing_name(entry.name) in (module, after))
        elif entry:
            yield entry


def page_title(document: Record) -> str:
    """What a page calls itself; empty if it does not."""
    if title := document.metadata.get("title"):
        return str(title)
    page = _PageReader(document)
    first = next(split_line_blocks(document.text), None)
    span = page.title(first) if first else None
    return page.plain_text(*span).text if span else ""


def _enclosing_name(name: str) -> str:
    return name.rpartition(".")[0]


class _PageReader:
    """A page as it is read block by block: where we are, and what is open."""

    def __init__(self, document: Record) -> None:
        self.document = document
        self.titles = {heading.start: heading for heading in document.headings}
        self.is_glossary = "glossary" in str(document.metadata.get("title", "")).lower()
        self.section = EMPTY_TEXT
        self.module = ""
        self.owner = DocumentedEntry("", "text")
        self.classes: list[tuple[int, str]] = []
        self.entry, self.indent = DocumentedEntry("", "text"), -1
        self.body: list[PlainText] = []
        self.is_example, self.are_defaults = False, False

    def plain_text(self, start: int, end: int) -> PlainText:
        return strip_markup(self.document.text, start, end, kind=self.document.kind)

    def read_block(self, block: LineBlock, explained: str) -> Iterator[DocumentedEntry]:
        """Take one block in, knowing how the next one begins; yield what it ends."""
        kind, first = self.document.kind, block.lines[0]
        is_example, self.is_example = self.is_example, PATTERNS["introduces_example"].match(first)
        if is_preformatted_block(self.document, block):
            return
        if named := PATTERNS["module"].match(first):
            self.module = named[1]
        if title := self.title(block):
            yield from self.close()
            self.section, self.owner = self.plain_text(*title), DocumentedEntry("", "text")
            self.are_defaults = False
            self.section = self.section.slice_text(0, len(self.section.text.rstrip("#¶§ ")))
        elif self.entry.name and block.indent <= self.indent and kind in ("text", "rst"):
            yield from self.close()  # no longer inside the directive
        entry = (
            self.entry_of_heading(title, explained)
            if title
            else self.recognise_entry(block, explained)
        )
        if is_example and kind == "html" and entry and entry.kind == "function":
            return  # a call
        if PATTERNS["default_line"].match(first):
            self.body.append(self.plain_text(block.start, block.end))
        elif (
            kind == "markdown"
            and len(block.lines) > 2
            and PATTERNS["table_line"].fullmatch(block.lines[1])
        ):
            yield from self.close()
            yield from self.rows(block)
        elif entry:
            yield from self.close()
            self.open(entry, block)
        elif not title and is_prose_block(block, kind):
            self.body.append(self.plain_text(block.start, block.end))
            self.are_defaults = bool(PATTERNS["defaults_follow"].search(" ".join(block.lines)))
        elif kind == "html" and not title and may_be_entry_head(block):
            yield from self.close()  # of something that is not understood

    def open(self, entry: DocumentedEntry, block: LineBlock) -> None:
        name, owner = self.qualified(entry.name, entry.kind, block.indent), ""
        if entry.kind == "parameter":
            is_taken = re.search(rf"\b{re.escape(name)}\b", self.owner.head.text)
            owner = self.owner.name if is_taken and not self.are_defaults else ""
        elif entry.kind in ("function", "class"):
            self.owner = entry._replace(name=name)
        self.entry = entry._replace(name=name, owner=owner)
        self.indent, self.body = block.indent, list(entry.body)

    def close(self) -> Iterator[DocumentedEntry]:
        """Yield what is open and go back to running text."""
        if self.entry.name or self.body:
            yield self.entry._replace(body=tuple(self.body), section=self.section)
        self.entry, self.indent, self.body = DocumentedEntry("", "text"), -1, []

    def qualified(self, name: str, kind: EntryKind, indent: int) -> str:
        """A directive's name with its module and class, as indentation nests them."""
        if not self.module or kind not in ("function", "class", "value"):
            return name
        self.classes = [one for one in self.classes if one[0] < indent]
        around = self.classes[-1][1] if self.classes else self.module
        own = name.removeprefix(f"{around.rpartition('.')[2]}.")  # of a class that repeats its name
        whole = name if name.startswith(f"{self.module}.") else f"{around}.{own}"
        if kind == "class":
            self.classes.append((indent, whole))
        return whole

    def title(self, block: LineBlock) -> tuple[int, int] | None:
        for start in range(block.start, block.start + 8):
            if start in self.titles and not PATTERNS["admonition"].match(block.lines[0]):
                return self.titles[start].start, self.titles[start].end
        if self.document.kind in ("text", "rst") and 1 < len(block.lines) < 4:
            for line, under in pairwise(block.lines):
                is_line = PATTERNS["underline"].fullmatch(under) and abs(len(line) - len(under)) < 4
                if is_line and re.match(r"\w|:mod:", line):
                    start = self.document.text.index(line, block.start)
                    return start, start + len(line)
        return None

    def entry_of_heading(self, title: tuple[int, int], explained: str) -> DocumentedEntry | None:
        head = self.plain_text(*title)
        name, bracket, _ = head.text.partition("(")
        if self.document.kind == "html" and PATTERNS["default_line"].match(explained):
            return DocumentedEntry(name, "setting", head) if re.fullmatch(NAME, name) else None
        if self.document.kind != "markdown" or " " in name:
            return None
        if PATTERNS["option_name"].fullmatch(name):
            return DocumentedEntry(name, "option", head)
        is_marked = "`" in self.document.text[slice(*title)]
        if re.fullmatch(NAME, name) and ("_" in name or "." in name or is_marked):
            return DocumentedEntry(name, "function" if bracket else "setting", head)
        return None

    def recognise_entry(self, block: LineBlock, explained: str) -> DocumentedEntry | None:
        first, is_alone = block.lines[0], len(block.lines) == 1
        if found := PATTERNS["directive"].match(first):
            return self.directive(block, found)
        if len(first) > 200 or first.endswith(("!", "?", ";")):
            return None
        head = strip_markup(self.document.text, block.start, block.start + len(first), kind="html")
        is_help = re.search(r"\S\s{2,}\S", first) or (  # what a program prints, quoted by a page
            self.document.kind == "html" and not all(map(PATTERNS["option"].fullmatch, block.lines))
        )
        name = option_name(" ".join(block.lines))
        if name and PATTERNS["option"].fullmatch(first) and not is_help:
            return DocumentedEntry(name, "option", head, self.option_text(block))
        if found := PATTERNS["setting"].fullmatch(first):
            return DocumentedEntry(found["name"], "setting", head)
        if entry := self.declaration(block, head, explained):
            return entry
        found = PATTERNS["bare_name"].fullmatch(first) if is_alone else None
        if found and PATTERNS["sentence"].match(explained):
            kind = "class" if found["what"] else "value"
            return DocumentedEntry(found["name"] or found["value"], kind, head)
        if found := PATTERNS["item"].match(first):
            return self.item(block, found)
        is_term = PATTERNS["term"].fullmatch(first) and (self.is_glossary or " " not in first)
        is_marked = self.document.kind == "html" or first.endswith("::")
        is_term = is_term and head.text.lower() not in WORDS["fields"] and self.is_one_word(block)
        if is_term and is_marked and is_alone and not PATTERNS["admonition"].match(first):
            is_explained = PATTERNS["explains"].match(explained)
            return DocumentedEntry(first.rstrip(":"), "term", head) if is_explained else None
        return None

    def declaration(
        self, block: LineBlock, head: PlainText, explained: str
    ) -> DocumentedEntry | None:
        """The entry of a signature, which others and notes on versions may follow."""
        found, others = match_signature(block.lines[0]), block.lines[1:]
        notes = tuple(line for line in others if PATTERNS["note"].match(line))
        known = (PATTERNS["call"].fullmatch, PATTERNS["boilerplate"].match)
        if not found or not all(x in notes or any(is_of(x) for is_of in known) for x in others):
            return None
        if not is_description(explained) or found["name"].startswith("_"):
            return None
        is_class = found["what"] in ("class", "exception", "type")
        starts = [self.document.text.index(note, block.start) for note in notes]
        body = tuple(self.plain_text(at, at + len(x)) for at, x in zip(starts, notes, strict=True))
        return DocumentedEntry(found["name"], "class" if is_class else "function", head, body)

    def is_one_word(self, block: LineBlock) -> bool:
        """Whether no tag stands inside a line: `<b>y</b><i>ndarray</i>` reads as one word."""
        start, end = self.document.map.byte_range(block.start, block.end)
        return end - start == len(self.document.text[block.start : block.end].encode())

    def option_text(self, block: LineBlock) -> tuple[PlainText, ...]:
        start = block.start
        for line in block.lines[1:]:
            start = self.document.text.index(line, start + 1)
            if not PATTERNS["option"].fullmatch(line) and not line.endswith("::"):
                is_text = PATTERNS["sentence"].match(line) or line is not block.lines[-1]
                return (self.plain_text(start, block.end),) if is_text else ()
        return ()

    def directive(self, block: LineBlock, found: re.Match[str]) -> DocumentedEntry | None:
        what, signature = found["what"], found["rest"].rstrip()
        at = self.document.text.index(signature, block.start)
        head = strip_markup(self.document.text, at, at + len(signature), kind="html")
        if what in ("option", "cmdoption"):
            option = option_name(signature)
            return DocumentedEntry(option, "option", head) if option else None
        call = PATTERNS["call"].fullmatch(signature)  # in C the type stands before the name
        name = re.match(NAME, call["name"] if call else signature)
        return DocumentedEntry(name[0], DIRECTIVES.get(what, "function"), head) if name else None

    def item(self, block: LineBlock, found: re.Match[str]) -> DocumentedEntry | None:
        """The entry of a list's item: a name, a colon or dash, what it is."""
        name = found["code"] or found["bold"] or found["word"]
        is_name = re.fullmatch(rf"{NAME}|--?\w[\w-]*", name) and name.lower() not in WORDS["fields"]
        if not is_name or len(block.lines) > 4 or any(map(PATTERNS["item"].match, block.lines[1:])):
            return None
        start = block.start + found.end()
        head, body = self.plain_text(block.start, start), self.plain_text(start, block.end)
        return DocumentedEntry(
            name, "option" if name.startswith("-") else "parameter", head, (body,)
        )

    def rows(self, block: LineBlock) -> Iterator[DocumentedEntry]:
        titles = [cell.strip().lower() for cell in block.lines[0].strip("|").split("|")]
        column = next((i for i, title in enumerate(titles) if title in WORDS["descriptions"]), 0)
        start = block.start
        for line in block.lines[2:] if column else ():
            start = self.document.text.index(line, start + 1)
            cells = list(PATTERNS["cell"].finditer(self.document.text, start, start + len(line)))
            name = PATTERNS["name_cell"].fullmatch(cells[0][1]) if len(cells) > column else None
            if name:
                head, body = (self.plain_text(*cells[i].span(1)) for i in (0, column))
                kind = "option" if name[1].startswith("-") else "setting"
                yield DocumentedEntry(name[1], kind, head, (body,), self.section)
