"""Extracts text from XML by a table of element meanings, mapped to the bytes of the source.

One pass with a regular expression for tags; no tree is built and nothing recurses, so depth costs
nothing. Only predefined entities, HTML's, and plain ones that the file declares are expanded, so
the billion laughs attack has no effect. A stray end tag is ignored; an unclosed element ends with
its parent. The meanings of JATS and DocBook elements are in vocabularies.toml.
"""

import html
import re
from typing import NamedTuple

from ..document import SourceMap
from .writer import BLANK_LINE, NEWLINE, SPACE, TAB, MappedWriter

TOKEN = re.compile(
    r"<!--.*?(?:-->|\Z)|<!\[CDATA\[(?P<data>.*?)(?:\]\]>|\Z)|<\?.*?(?:\?>|\Z)"
    r"|<!DOCTYPE[^\[>]*(?:\[(?P<subset>.*?)\]\s*)?(?:>|\Z)"
    r"|<(?P<end>/?)(?:[\w-]+:)?(?P<name>[A-Za-z_][\w.-]*)"
    r"""(?P<attributes>(?:[^>"']|"[^"]*(?:"|\Z)|'[^']*(?:'|\Z))*+)(?:>|\Z)"""
    r"|<[^>]*(?:>|\Z)|&(?P<entity>\#?\w{1,40});",
    re.DOTALL,
)
ENTITY = re.compile(
    r"""<!ENTITY\s+([\w.-]{1,40})\s+(?:"([^"%&<]{0,300})"|'([^'%&<]{0,300})')\s*>"""
)
CONTRIBUTOR = re.compile(r"""contrib-type\s*=\s*["']([\w-]*)""")
IDENTIFIER = re.compile(r"""pub-id-type\s*=\s*["']([\w-]*)""")
MAX_DEPTH = 2_000


class ElementMeaning(NamedTuple):
    """The meaning of an element."""

    action: str
    """drop; block, line, cell, item (breaks); heading (its level is the depth of sections);
    section; aside (moved to the metadata); name (of an author); fact (metadata); put (replaced);
    raw (white space is kept); inline; spaced."""
    value: str = ""
    """The metadata key of an aside (capitalised if it is inline) or fact, or the text to put."""
    span: str = ""
    """The kind of its span."""


INLINE = ElementMeaning("inline")


class XmlVocabulary(NamedTuple):
    """The elements of a kind of XML; `parent/name` takes precedence over `name`."""

    elements: dict[str, ElementMeaning]
    given_name: str
    """The element of an author's given name."""
    surname: str


class OpenElement(NamedTuple):
    """An open element."""

    name: str
    meaning: ElementMeaning
    start: int
    """Offset of its text."""
    attributes: str


class ExtractedArticle(NamedTuple):
    """The extracted text and metadata."""

    writer: MappedWriter
    metadata: dict[str, list[str]]


def read_xml(source: SourceMap, vocabulary: XmlVocabulary) -> ExtractedArticle:
    """Extract the text and metadata of a source."""
    walk = XmlReader(source, vocabulary)
    walk.read()
    return ExtractedArticle(walk.writer, walk.facts)


class XmlReader:
    """Reads one XML source."""

    def __init__(self, source: SourceMap, vocabulary: XmlVocabulary) -> None:
        self.text, self.vocabulary = source.text, vocabulary
        self.writer = MappedWriter(source)
        self.stack: list[OpenElement] = []
        self.open_counts: dict[str, int] = {}  # number of open elements by name
        self.dropped_depth = 0  # depth of the element that is being dropped
        self.raw_depth = 0  # number of open elements whose white space is kept
        self.section_depth = 0
        self.entities: dict[str, str] = {}
        self.facts: dict[str, list[str]] = {}
        self.captured: list[str] = []  # text of the open facts
        self.capture_starts: list[int] = []  # index in `captured` at which each open fact begins
        self.given_name = self.surname = ""

    def read(self) -> None:
        """Read the source to its end."""
        at = 0
        while at < len(self.text):
            token = TOKEN.search(self.text, at)
            stop = token.start() if token else len(self.text)
            if stop > at:
                self.write_characters(at, stop, None)
            if token is None:
                break
            at = token.end()
            self.read_token(token)
        while self.stack:
            self.pop_element()

    def read_token(self, token: re.Match[str]) -> None:
        """Read one token."""
        if token["data"] is not None:
            self.write_characters(*token.span("data"), None)
        elif token["subset"]:
            for name, double, single in ENTITY.findall(token["subset"][:100_000]):
                self.entities.setdefault(name, double or single)
        elif entity := token["entity"]:
            declared = self.entities.get(entity)
            text = html.unescape(f"&{entity};") if declared is None else declared
            self.write_characters(*token.span(), "" if text == f"&{entity};" else text)
        elif name := token["name"]:
            attributes = token["attributes"]
            if token["end"]:
                self.close_element(name)
            else:
                self.open_element(name, attributes)
                if attributes.endswith("/"):
                    self.close_element(name)

    def write_characters(self, start: int, end: int, text: str | None) -> None:
        """Write text: a slice of the source, or its replacement."""
        if self.capture_starts:
            self.captured.append(self.text[start:end] if text is None else text)
        if self.dropped_depth:
            return
        if text is not None:
            self.writer.write_replacement(start, end, text)
        elif self.raw_depth:
            self.writer.write_exact(start, end)
        else:
            self.writer.write_slice(start, end)

    def open_element(self, name: str, attributes: str) -> None:
        """Open an element."""
        if len(self.stack) >= MAX_DEPTH:
            return
        parent = self.stack[-1].name if self.stack else ""
        elements = self.vocabulary.elements
        means = elements.get(f"{parent}/{name}") or elements.get(name, INLINE)
        act = means.action
        if act == "section":
            self.section_depth += 1
        if act in ("block", "section", "heading", "raw") or (
            act == "aside" and not means.value[0].isupper()
        ):
            self.writer.request_break(BLANK_LINE)
        elif act in ("line", "item"):
            self.writer.request_break(NEWLINE)
        elif act == "cell":
            self.writer.request_break(TAB)
        if self.is_captured(name, act):
            self.capture_starts.append(len(self.captured))
        if act in ("drop", "put", "fact") and not self.dropped_depth:
            self.dropped_depth = len(self.stack) + 1
        begins = self.writer.next_offset()
        self.stack.append(OpenElement(name, means, begins, attributes))
        self.open_counts[name] = self.open_counts.get(name, 0) + 1
        if act == "raw":
            self.raw_depth += 1
        if act == "item" and not self.dropped_depth:
            self.writer.write_bullet(*self.insertion_range())

    def insertion_range(self) -> tuple[int, int]:
        """The empty range in the source after the last part, for inserted text."""
        end = self.writer.parts.end
        return (end, end)

    def close_element(self, name: str) -> None:
        """Close an element and the unclosed ones inside it."""
        if not self.open_counts.get(name):
            return
        while self.stack:
            if self.pop_element() == name:
                return

    def pop_element(self) -> str:
        """Close the innermost element."""
        name, means, start, attributes = self.stack.pop()
        self.open_counts[name] -= 1
        act = means.action
        was_dropped = self.dropped_depth
        if self.dropped_depth > len(self.stack):
            self.dropped_depth = 0
        if self.is_captured(name, act):
            text = " ".join("".join(self.captured[self.capture_starts.pop() :]).split())
            self.record_fact(name, means, attributes, text)
            if not self.capture_starts:
                self.captured.clear()
        if act == "put" and not self.dropped_depth and was_dropped:
            self.writer.write_replacement(*self.insertion_range(), means.value)
        if not was_dropped:
            if act == "heading":
                self.writer.add_span("heading", start, str(max(1, min(self.section_depth + 1, 6))))
            if means.span:
                self.writer.add_span(means.span, start)
            if act == "aside":
                self.writer.mark_for_metadata(
                    means.value.lower(), start, means.span or means.value.lower()
                )
        self.finish_element(act, means)
        return name

    def finish_element(self, act: str, means: ElementMeaning) -> None:
        """Update the state and request a break after an element."""
        if act == "section":
            self.section_depth -= 1
        elif act == "raw":
            self.raw_depth -= 1
        if act in ("block", "section", "heading", "raw") or (
            act == "aside" and not means.value[0].isupper()
        ):
            self.writer.request_break(BLANK_LINE)
        elif act == "line":
            self.writer.request_break(NEWLINE)
        elif act == "cell":
            self.writer.request_break(TAB)
        elif act == "spaced":
            self.writer.request_break(SPACE)

    def is_captured(self, name: str, act: str) -> bool:
        """Whether an element's text is a fact or part of an author's name."""
        return act in ("fact", "name") or name in (
            self.vocabulary.given_name,
            self.vocabulary.surname,
        )

    def record_fact(self, name: str, means: ElementMeaning, attributes: str, text: str) -> None:
        """Record a fact, or a part of an author's name."""
        if name == self.vocabulary.given_name:
            self.given_name = text
        elif name == self.vocabulary.surname:
            self.surname = text
        elif means.action == "name":
            full_name = " ".join(part for part in (self.given_name, self.surname) if part) or text
            self.given_name = self.surname = ""
            roles = [CONTRIBUTOR.search(element.attributes) for element in self.stack[-3:]]
            role = next((match for match in roles if match), None)
            if full_name and not self.dropped_depth and (role is None or role[1] == "author"):
                self.facts.setdefault("authors", []).append(full_name)
        elif text:
            kind = IDENTIFIER.search(attributes)
            self.facts.setdefault(f"{means.value}:{kind[1]}" if kind else means.value, []).append(
                text
            )
