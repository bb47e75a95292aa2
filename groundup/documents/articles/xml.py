"""The step for papers and manuals in XML: extracts text by a table of element meanings.

One pass with a regular expression for tags; no tree is built and nothing recurses, so depth costs
nothing. Only predefined entities, HTML's, and plain ones that the file declares are expanded, so
the billion laughs attack has no effect. A stray end tag is ignored; an unclosed element ends with
its parent. The meanings of JATS and DocBook elements are in vocabularies.toml.
"""

import html
import re
import tomllib
from pathlib import Path
from typing import Literal, NamedTuple

from groundup.core import Config

from ..document import SourceMap
from ..readers.reader import Refused
from ..record import Record, StepResult
from .writer import BLANK_LINE, NEWLINE, SPACE, TAB, MappedWriter, record_source

_TABLES = tomllib.loads(Path(__file__).with_name("vocabularies.toml").read_text(encoding="utf-8"))
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
BREAKS = dict.fromkeys(("block", "section", "heading", "raw"), BLANK_LINE) | {
    "line": NEWLINE, "cell": TAB,
}  # fmt: skip


class _ElementMeaning(NamedTuple):
    """The meaning of an element."""

    action: str
    """drop; block, line, cell, item (breaks); heading (its level is the depth of sections);
    section; aside (moved to the metadata); name (of an author); fact (metadata); put (replaced);
    raw (white space is kept); inline; spaced."""
    value: str = ""
    """The metadata key of an aside (capitalised if it is inline) or fact, or the text to put."""
    span: str = ""  # The kind of its span


INLINE = _ElementMeaning("inline")


class _XmlVocabulary(NamedTuple):
    """The elements of a kind of XML; `parent/name` takes precedence over `name`."""

    elements: dict[str, _ElementMeaning]
    given_name: str  # The element of an author's given name
    surname: str


class _OpenElement(NamedTuple):
    """An open element."""

    name: str
    meaning: _ElementMeaning
    start: int  # Offset of its text
    attributes: str


def _vocabulary(name: str) -> _XmlVocabulary:
    table = _TABLES[name]
    elements = {
        element: _ElementMeaning(row["action"], row.get("value", ""), row.get("span", ""))
        for row in table["meanings"]
        for element in row["elements"].split()
    }
    return _XmlVocabulary(elements, table["given_name"], table["surname"])


VOCABULARIES = {name: _vocabulary(name) for name in ("jats", "docbook")}


ROOT = re.compile(r"<(?![?!])(?:[\w-]+:)?([A-Za-z][\w.-]*)([^>]{0,2000})")
VOCABULARY_BY_ROOT = {
    "book": "docbook", "chapter": "docbook", "refentry": "docbook",
    "sect1": "docbook", "section": "docbook", "preface": "docbook", "appendix": "docbook",
    "part": "docbook", "refsect1": "docbook", "set": "docbook", "pmc-articleset": "jats",
    "reference": "docbook", "glossary": "docbook",
}  # fmt: skip


class ArticleXmlConfig(Config):
    """Settings of `articles.xml`."""

    vocabulary: Literal["auto", "jats", "docbook"] = "auto"
    """The vocabulary of the elements; `auto` decides by the root element."""


class ArticleXml:
    """Step `articles.xml`: the prose of a record of kind jats or docbook."""

    def __init__(self, config: ArticleXmlConfig) -> None:
        self.config = config

    def __call__(self, record: Record) -> StepResult:
        """Extract the text; XML of another kind, or without prose, is dropped."""
        try:
            source = record_source(record)
        except Refused as refused:
            return StepResult(refused.reason, details=refused.details)
        name = self.config.vocabulary
        if name == "auto":
            name = _detect_vocabulary(source.text)
            if name == "auto":
                return StepResult("xml: not an article", details=source.text[:80])
        walk = _XmlReader(source, VOCABULARIES[name])
        walk.read()
        if not walk.writer.length:
            return StepResult("xml: no prose", details=f"{len(source.text)} characters of source")
        result = walk.writer.to_result({})
        assert result.extracted is not None
        text, spans = result.extracted.map.text, result.extracted.spans
        metadata: dict[str, object] = {"vocabulary": name}
        for kind in ("title", "abstract"):
            first = next((span for span in spans if span.kind == kind), None)
            if first:
                metadata[kind] = text[first.start : first.end].strip()
        if authors := walk.facts.pop("authors", []):
            metadata["authors"] = list(dict.fromkeys(authors))[:200]
        metadata |= {key.replace("id:", ""): values[0] for key, values in walk.facts.items()}
        for kind in ("reference", "caption"):
            metadata[f"{kind}s"] = sum(span.kind == kind for span in spans)
        return result._replace(metadata=metadata)


def _detect_vocabulary(text: str) -> Literal["auto", "jats", "docbook"]:
    """The vocabulary of the root element; `auto` if it belongs to none."""
    head = text[:20_000]
    root = ROOT.search(head)
    if root is None:
        return "auto"
    name = root[1].lower()
    if name == "article":
        is_jats = re.search(
            r"<front>|<article-meta|<journal-meta|article-type=|JATS|NLM//DTD", head
        )
        return "jats" if is_jats else "docbook"
    return VOCABULARY_BY_ROOT.get(name, "auto")  # type: ignore[return-value]


class _XmlReader:
    """Reads one XML source."""

    def __init__(self, source: SourceMap, vocabulary: _XmlVocabulary) -> None:
        self.text, self.vocabulary = source.text, vocabulary
        self.writer = MappedWriter(source)
        self.stack: list[_OpenElement] = []
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
        if len(self.stack) >= MAX_DEPTH:
            return
        parent = self.stack[-1].name if self.stack else ""
        elements = self.vocabulary.elements
        means = elements.get(f"{parent}/{name}") or elements.get(name, INLINE)
        act = means.action
        if act == "section":
            self.section_depth += 1
        self.request_break(means)
        if act == "item":
            self.writer.request_break(NEWLINE)
        if self.is_captured(name, act):
            self.capture_starts.append(len(self.captured))
        if act in ("drop", "put", "fact") and not self.dropped_depth:
            self.dropped_depth = len(self.stack) + 1
        begins = self.writer.next_offset()
        self.stack.append(_OpenElement(name, means, begins, attributes))
        self.open_counts[name] = self.open_counts.get(name, 0) + 1
        if act == "raw":
            self.raw_depth += 1
        if act == "item" and not self.dropped_depth:
            end = self.writer.parts.end
            self.writer.write_bullet(end, end)

    def close_element(self, name: str) -> None:
        if not self.open_counts.get(name):
            return
        while self.stack:
            if self.pop_element() == name:
                return

    def pop_element(self) -> str:
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
            end = self.writer.parts.end
            self.writer.write_replacement(end, end, means.value)
        if not was_dropped:
            if act == "heading":
                self.writer.add_span("heading", start, str(max(1, min(self.section_depth + 1, 6))))
            if means.span:
                self.writer.add_span(means.span, start)
            if act == "aside":
                self.writer.mark_for_metadata(
                    means.value.lower(), start, means.span or means.value.lower()
                )
        self.section_depth -= act == "section"
        self.raw_depth -= act == "raw"
        self.request_break(means)
        if act == "spaced":
            self.writer.request_break(SPACE)
        return name

    def request_break(self, means: _ElementMeaning) -> None:
        is_block = means.action == "aside" and not means.value[0].isupper()
        self.writer.request_break(BLANK_LINE if is_block else BREAKS.get(means.action, 0))

    def is_captured(self, name: str, act: str) -> bool:
        return act in ("fact", "name") or name in (
            self.vocabulary.given_name,
            self.vocabulary.surname,
        )

    def record_fact(self, name: str, means: _ElementMeaning, attributes: str, text: str) -> None:
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
