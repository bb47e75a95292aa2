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
from .writer import BLANK_LINE, NEWLINE, SPACE, TAB, Writer

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


class Means(NamedTuple):
    """The meaning of an element."""

    act: str
    """drop; block, line, cell, item (breaks); heading (its level is the depth of sections);
    section; aside (moved to the metadata); name (of an author); fact (metadata); put (replaced);
    raw (white space is kept); inline; spaced."""
    value: str = ""
    """The metadata key of an aside (capitalised if it is inline) or fact, or the text to put."""
    span: str = ""
    """The kind of its span."""


INLINE = Means("inline")


class Vocabulary(NamedTuple):
    """The elements of a kind of XML; `parent/name` takes precedence over `name`."""

    elements: dict[str, Means]
    given: str
    """The element of an author's given name."""
    surname: str


class Open(NamedTuple):
    """An open element."""

    name: str
    means: Means
    start: int
    """Offset of its text."""
    attributes: str


class Reading(NamedTuple):
    """The extracted text and metadata."""

    writer: Writer
    facts: dict[str, list[str]]


def read_xml(source: SourceMap, vocabulary: Vocabulary) -> Reading:
    """Extract the text and metadata of a source."""
    walk = Walk(source, vocabulary)
    walk.run()
    return Reading(walk.writer, walk.facts)


class Walk:
    """Reads one XML source."""

    def __init__(self, source: SourceMap, vocabulary: Vocabulary) -> None:
        self.text, self.vocabulary = source.text, vocabulary
        self.writer = Writer(source)
        self.stack: list[Open] = []
        self.open: dict[str, int] = {}  # number of open elements by name
        self.dropped = 0  # depth of the element that is being dropped
        self.raw = 0  # number of open elements whose white space is kept
        self.sections = 0
        self.entities: dict[str, str] = {}
        self.facts: dict[str, list[str]] = {}
        self.caught: list[str] = []  # text of the open facts
        self.catches: list[int] = []  # index in `caught` at which each open fact begins
        self.given = self.surname = ""

    def run(self) -> None:
        """Read the source to its end."""
        at = 0
        while at < len(self.text):
            token = TOKEN.search(self.text, at)
            stop = token.start() if token else len(self.text)
            if stop > at:
                self.characters(at, stop, None)
            if token is None:
                break
            at = token.end()
            self.take(token)
        while self.stack:
            self.pop()

    def take(self, token: re.Match[str]) -> None:
        """Read one token."""
        if token["data"] is not None:
            self.characters(*token.span("data"), None)
        elif token["subset"]:
            for name, double, single in ENTITY.findall(token["subset"][:100_000]):
                self.entities.setdefault(name, double or single)
        elif entity := token["entity"]:
            declared = self.entities.get(entity)
            text = html.unescape(f"&{entity};") if declared is None else declared
            self.characters(*token.span(), "" if text == f"&{entity};" else text)
        elif name := token["name"]:
            attributes = token["attributes"]
            if token["end"]:
                self.end(name)
            else:
                self.start(name, attributes)
                if attributes.endswith("/"):
                    self.end(name)

    def characters(self, start: int, end: int, text: str | None) -> None:
        """Write text: a slice of the source, or its replacement."""
        if self.catches:
            self.caught.append(self.text[start:end] if text is None else text)
        if self.dropped:
            return
        if text is not None:
            self.writer.put(start, end, text)
        elif self.raw:
            self.writer.exactly(start, end)
        else:
            self.writer.keep(start, end)

    def start(self, name: str, attributes: str) -> None:
        """Open an element."""
        if len(self.stack) >= MAX_DEPTH:
            return
        parent = self.stack[-1].name if self.stack else ""
        elements = self.vocabulary.elements
        means = elements.get(f"{parent}/{name}") or elements.get(name, INLINE)
        act = means.act
        if act == "section":
            self.sections += 1
        if act in ("block", "section", "heading", "raw") or (
            act == "aside" and not means.value[0].isupper()
        ):
            self.writer.want(BLANK_LINE)
        elif act in ("line", "item"):
            self.writer.want(NEWLINE)
        elif act == "cell":
            self.writer.want(TAB)
        if self.is_caught(name, act):
            self.catches.append(len(self.caught))
        if act in ("drop", "put", "fact") and not self.dropped:
            self.dropped = len(self.stack) + 1
        begins = self.writer.here()
        self.stack.append(Open(name, means, begins, attributes))
        self.open[name] = self.open.get(name, 0) + 1
        if act == "raw":
            self.raw += 1
        if act == "item" and not self.dropped:
            self.writer.bullet(*self.place())

    def place(self) -> tuple[int, int]:
        """The empty range in the source after the last part, for inserted text."""
        end = self.writer.pieces.end
        return (end, end)

    def end(self, name: str) -> None:
        """Close an element and the unclosed ones inside it."""
        if not self.open.get(name):
            return
        while self.stack:
            if self.pop() == name:
                return

    def pop(self) -> str:
        """Close the innermost element."""
        name, means, start, attributes = self.stack.pop()
        self.open[name] -= 1
        act = means.act
        was_dropped = self.dropped
        if self.dropped > len(self.stack):
            self.dropped = 0
        if self.is_caught(name, act):
            text = " ".join("".join(self.caught[self.catches.pop() :]).split())
            self.know(name, means, attributes, text)
            if not self.catches:
                self.caught.clear()
        if act == "put" and not self.dropped and was_dropped:
            self.writer.put(*self.place(), means.value)
        if not was_dropped:
            if act == "heading":
                self.writer.span("heading", start, str(max(1, min(self.sections + 1, 6))))
            if means.span:
                self.writer.span(means.span, start)
            if act == "aside":
                self.writer.aside(means.value.lower(), start, means.span or means.value.lower())
        self.after(act, means)
        return name

    def after(self, act: str, means: Means) -> None:
        """Update the state and request a break after an element."""
        if act == "section":
            self.sections -= 1
        elif act == "raw":
            self.raw -= 1
        if act in ("block", "section", "heading", "raw") or (
            act == "aside" and not means.value[0].isupper()
        ):
            self.writer.want(BLANK_LINE)
        elif act == "line":
            self.writer.want(NEWLINE)
        elif act == "cell":
            self.writer.want(TAB)
        elif act == "spaced":
            self.writer.want(SPACE)

    def is_caught(self, name: str, act: str) -> bool:
        """Whether an element's text is a fact or part of an author's name."""
        return act in ("fact", "name") or name in (self.vocabulary.given, self.vocabulary.surname)

    def know(self, name: str, means: Means, attributes: str, text: str) -> None:
        """Record a fact, or a part of an author's name."""
        if name == self.vocabulary.given:
            self.given = text
        elif name == self.vocabulary.surname:
            self.surname = text
        elif means.act == "name":
            full_name = " ".join(part for part in (self.given, self.surname) if part) or text
            self.given = self.surname = ""
            roles = [CONTRIBUTOR.search(element.attributes) for element in self.stack[-3:]]
            role = next((match for match in roles if match), None)
            if full_name and not self.dropped and (role is None or role[1] == "author"):
                self.facts.setdefault("authors", []).append(full_name)
        elif text:
            kind = IDENTIFIER.search(attributes)
            self.facts.setdefault(f"{means.value}:{kind[1]}" if kind else means.value, []).append(
                text
            )
