"""The step for papers and manuals in XML: finds a file's vocabulary and extracts its metadata.

Knows nothing of tags; see xml.py for the walk and vocabularies.py for the meanings of elements.
"""

import re
from typing import Literal

from groundup.core import Config

from ..record import Record, StepResult
from .vocabularies import DOCBOOK, JATS
from .writer import record_source
from .xml import XmlVocabulary, read_xml

VOCABULARIES: dict[str, XmlVocabulary] = {"jats": JATS, "docbook": DOCBOOK}
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
        source = record_source(record)
        name = self.config.vocabulary
        if name == "auto":
            name = _detect_vocabulary(source.text)
            if name == "auto":
                return StepResult("xml: not an article", details=source.text[:80])
        writer, facts = read_xml(source, VOCABULARIES[name])
        if not writer.length:
            return StepResult("xml: no prose", details=f"{len(source.text)} characters of source")
        ruling = writer.to_result({})
        assert ruling.extracted is not None
        text, spans = ruling.extracted.map.text, ruling.extracted.spans
        metadata: dict[str, object] = {"vocabulary": name}
        for kind in ("title", "abstract"):
            first = next((span for span in spans if span.kind == kind), None)
            if first:
                metadata[kind] = text[first.start : first.end].strip()
        if authors := facts.pop("authors", []):
            metadata["authors"] = list(dict.fromkeys(authors))[:200]
        metadata |= {key.replace("id:", ""): values[0] for key, values in facts.items()}
        for kind in ("reference", "caption"):
            metadata[f"{kind}s"] = sum(span.kind == kind for span in spans)
        return ruling._replace(metadata=metadata)


def _detect_vocabulary(text: str) -> Literal["auto", "jats", "docbook"]:
    """The vocabulary of the root element; `auto` if it belongs to none.

    >>> _detect_vocabulary("<article><front><journal-meta/>"), _detect_vocabulary("<book>")
    ('jats', 'docbook')
    """
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
