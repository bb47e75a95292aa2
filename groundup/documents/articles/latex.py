"""The step for LaTeX: prose in place of the source, its apparatus aside, its facts as metadata.

Knows nothing of commands; see latex_walk.py for the walk and commands.py for what commands mean.
"""

import re

from ..record import Record, Ruling, Span
from .latex_walk import LatexConfig, Walk
from .writer import source_of


class Latex:
    """Step `articles.latex`: the prose of a record of kind latex."""

    def __init__(self, config: LatexConfig) -> None:
        self.config = config

    def __call__(self, record: Record) -> Ruling:
        """Make the text; an empty one drops the record."""
        walk = Walk(source_of(record), self.config)
        walk.document()
        if not walk.writer.length:
            return Ruling("latex: no prose", details=f"{len(walk.text)} characters of source")
        ruling = walk.writer.ruling({})
        assert ruling.made is not None
        return ruling._replace(metadata=facts_of(ruling.made.map.text, walk))


def facts_of(text: str, walk: Walk) -> dict[str, object]:
    """Title, authors, abstract and counts."""
    spans = walk.writer.spans
    found: dict[str, object] = {}
    titles = [next((s for s in spans if s.kind == kind), None) for kind in ("title", "subtitle")]
    title = " ".join(text[one.start : one.end] for one in titles if one)
    if title.strip():
        found["title"] = " ".join(title.split())
    if names := names_in(text, spans):
        found["authors"] = names
    abstract = next((s for s in spans if s.kind == "abstract"), None)
    if abstract:
        found["abstract"] = text[abstract.start : abstract.end].strip()
    for kind in ("reference", "caption", "formula"):
        found[f"{kind}s"] = sum(span.kind == kind for span in spans)
    if walk.expansion.refused:
        found["macros_not_expanded"] = walk.expansion.refused
    if walk.inputs:
        found["inputs"] = walk.inputs[:100]
    return found


def names_in(text: str, spans: list[Span]) -> list[str]:
    """Names of authors: the first line of every block of an author span, commas and `and` apart."""
    names = []
    for span in spans:
        if span.kind != "author":
            continue
        for block in text[span.start : span.end].split("\n\n"):
            line = block.strip().split("\n")[0]
            for name in re.split(r"\s*(?:,|;|\band\b|&)\s*", line):
                words = re.sub(r"[\d*†‡§¶∗]+$", "", name).strip(" .,-–—")
                if words and "@" not in words and len(words) < 80:
                    names.append(name.strip(" ,-–—"))
    return names[:200]
