"""The step for LaTeX: extracts the prose, and title, authors and abstract as metadata.

Knows nothing of commands; see latex_walk.py for the walk and commands.py for their meaning.
"""

import re

from ..record import Record, StepResult, TextSpan
from .latex_walk import LatexConfig, LatexReader
from .writer import record_source


class LatexStep:
    """Step `articles.latex`: the prose of a record of kind latex."""

    def __init__(self, config: LatexConfig) -> None:
        self.config = config

    def __call__(self, record: Record) -> StepResult:
        """Extract the text; a record without prose is dropped."""
        walk = LatexReader(record_source(record), self.config)
        walk.read_document()
        if not walk.writer.length:
            return StepResult("latex: no prose", details=f"{len(walk.text)} characters of source")
        ruling = walk.writer.to_result({})
        assert ruling.extracted is not None
        return ruling._replace(metadata=_metadata_of(ruling.extracted.map.text, walk))


def _metadata_of(text: str, walk: LatexReader) -> dict[str, object]:
    """Title, authors, abstract and counts."""
    spans = walk.writer.spans
    facts: dict[str, object] = {}
    titles = [next((s for s in spans if s.kind == kind), None) for kind in ("title", "subtitle")]
    title = " ".join(text[span.start : span.end] for span in titles if span)
    if title.strip():
        facts["title"] = " ".join(title.split())
    if names := _author_names(text, spans):
        facts["authors"] = names
    abstract = next((s for s in spans if s.kind == "abstract"), None)
    if abstract:
        facts["abstract"] = text[abstract.start : abstract.end].strip()
    for kind in ("reference", "caption", "formula"):
        facts[f"{kind}s"] = sum(span.kind == kind for span in spans)
    if walk.expansion.refused_calls:
        facts["macros_not_expanded"] = walk.expansion.refused_calls
    if walk.inputs:
        facts["inputs"] = walk.inputs[:100]
    return facts


def _author_names(text: str, spans: list[TextSpan]) -> list[str]:
    """Author names: the first line of every block of an author span, split at commas and `and`."""
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
