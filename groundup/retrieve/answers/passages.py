"""The passages for a query, with the words of it marked: what a page of search results shows.

A word of a passage is marked if it has a stem of the query, as the index has it, so that "renewals"
marks "renewed"; names of code are marked whole.
"""

import re
from typing import NamedTuple

from groundup.core import ArtifactError, ConfigError, Hit, Quote, record

from ..chunks.chunk import parent_hits
from ..search import OpenIndex
from ..wording.language import HYPHENATED, INDIC, UNSPACED, stem_words
from ..wording.question import Question

WORD = re.compile(rf"{HYPHENATED.pattern}|(?:[^\W_]|[{INDIC}])+")
Marks = list[tuple[int, int]]


class MarkedPassage(NamedTuple):
    """A passage that a query finds."""

    quote: Quote
    """Its text and where that is in the file."""
    marks: Marks
    """Start and end of each word of the query in its text."""
    headings: list[tuple[str, Marks]]
    """The titles above it, outermost first."""
    kind: str
    """Of the document."""


def search_passages(index: OpenIndex, query: str, limit: int = 10) -> list[MarkedPassage]:
    """The passages for a query, best first: by words, and by meaning if the index has vectors."""
    question, passages = index.parse(query), list[MarkedPassage]()
    for passage, _ in parent_hits(find_passages(index, query, limit), index.read_document):
        document = index.read_document(passage.document)
        language = index.entries[passage.document].language
        titles = [(each, mark_words(each, question, language)) for each in passage.headings]
        quote = document.quote(passage.start, passage.end)
        marks = mark_words(quote.text, question, language)
        passages.append(MarkedPassage(quote, marks, titles, document.kind))
    return passages


def find_passages(index: OpenIndex, query: str, count: int) -> list[Hit]:
    """What words find, and by meaning too if the index has vectors."""
    hits = index.best_hits(query, index.parse(query), count)
    try:
        if index.vectors is None:
            return hits
        from ..encoders.meaning import fused_hits  # imports numpy

        return fused_hits(index, query, hits, count)
    except (ArtifactError, ConfigError) as error:  # words alone find some
        record.log(f"Not looked for by meaning: {error}")
        return hits


def mark_words(text: str, question: Question, language: str) -> Marks:
    """Start and end of what a text has of the words of a question, in order.

    >>> from ..wording.question import parse_question
    >>> mark_words("Renewed once.", parse_question("renewals"), "english")
    [(0, 7)]
    """
    stems = {stem for term in question.terms for stem in term.stems}
    names = [term.name for term in question.terms if term.name]
    names += [stem for stem in stems if UNSPACED.fullmatch(stem)]
    found = [
        match.span()
        for match in WORD.finditer(text)
        if not UNSPACED.search(match[0]) and not stems.isdisjoint(stem_words(match[0], language))
    ]
    for name in names:
        ends = ("", "") if UNSPACED.fullmatch(name) else (r"(?<!\w)", r"(?!\w)")
        found += [m.span() for m in re.finditer(re.escape(name).join(ends), text)]
    marks = Marks()
    for start, end in sorted(found):
        if marks and start <= marks[-1][1]:  # they touch or overlap
            marks[-1] = (marks[-1][0], max(marks[-1][1], end))
        else:
            marks.append((start, end))
    return marks
